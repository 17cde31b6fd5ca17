"""Files into a running service, which reads them: with a progress bar and a summary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from answerbox.client import Client, File
from answerbox.documents.reading import find
from answerbox.errors import InvalidRequest

BATCH = 50
BATCH_BYTES = 8 * 2**20


@dataclass
class Named:
    path: Path
    name: str
    size: int


@dataclass
class Tally:
    indexed: int = 0
    failed: int = 0
    bytes: int = 0


def ingest(client: Client, paths: list[Path], out: Console, glob: str | None = None, user_id: str | None = None) -> int:
    """Returns how many files or documents failed; each is named with its reason, the others go on.

    Raises:
        InvalidRequest: a path that does not exist or is of no known format.
        AnswerboxError: the service cannot be used.
    """
    failures: list[str] = []
    files = list(_readable(paths, glob, failures))
    tallies: dict[str, Tally] = {}
    with Progress(console=out, transient=True) as progress:
        bar = progress.add_task("indexing", total=len(files))
        for batch in _batches(files):
            failures += _index(client, batch, user_id, tallies)
            progress.advance(bar, len(batch))
    for reason in failures:
        out.print(f"failed: {reason}", markup=False, style="red")
    out.print(_summary(tallies))
    out.print(f"{len(files)} files sent, {len(failures)} failed")
    return len(failures)


def _readable(paths: list[Path], glob: str | None, failures: list[str]) -> Iterator[Named]:
    """Each file under the name that it gets: its path below the folder that was named."""
    for path in paths:
        for file in find([path], glob):
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            try:
                with file.open("rb"):
                    yield Named(file, name, file.stat().st_size)
            except OSError as exc:
                failures.append(f"{name}: cannot be opened ({exc.strerror})")


def _batches(files: list[Named]) -> Iterator[list[Named]]:
    """At most `BATCH` files and, but for a single large one, `BATCH_BYTES`; no name twice."""
    batch: list[Named] = []
    for file in files:
        full = len(batch) == BATCH or sum(other.size for other in batch) + file.size > BATCH_BYTES
        if batch and (full or any(other.name == file.name for other in batch)):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _index(client: Client, batch: list[Named], user_id: str | None, tallies: dict[str, Tally]) -> list[str]:
    try:
        job = client.wait(client.upload([File(file.name, file.path) for file in batch], user_id=user_id))
    except InvalidRequest as exc:
        if len(batch) > 1:  # one of them is to blame; the others need not suffer
            return [reason for file in batch for reason in _index(client, [file], user_id, tallies)]
        _count(tallies, batch[0], failed=True)
        return [f"{batch[0].name}: {exc.message}"]
    wrong = {error.document_id for error in job.errors}
    for file in batch:
        _count(tallies, file, failed=file.name in wrong)
    return [f"{error.document_id}: {error.message}" for error in job.errors]


def _count(tallies: dict[str, Tally], file: Named, failed: bool) -> None:
    tally = tallies.setdefault(file.path.suffix.lower() or "none", Tally())
    tally.bytes += file.size
    if failed:
        tally.failed += 1
    else:
        tally.indexed += 1


def _summary(tallies: dict[str, Tally]) -> Table:
    table = Table("format", "files", "failed", "size, kB")
    for suffix, tally in sorted(tallies.items()):
        table.add_row(suffix, str(tally.indexed + tally.failed), str(tally.failed), f"{tally.bytes / 1000:.1f}")
    return table

"""Files into a running service, with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from answerbox.cli.client import Client
from answerbox.contracts import DocumentIn
from answerbox.documents.reading import find, read
from answerbox.errors import AnswerboxError, InvalidRequest

BATCH = 50
BATCH_CHARS = 1_000_000
POLL_S = 0.2


def ingest(client: Client, paths: list[Path], out: Console) -> int:
    """Returns how many files or documents failed; each is named with its reason, the others go on.

    Raises:
        InvalidRequest: a path that does not exist or is no document.
        AnswerboxError: the service cannot be used.
    """
    failed: list[str] = []
    documents = list(_readable(_files(paths), failed))
    with Progress(console=out, transient=True) as progress:
        bar = progress.add_task("indexing", total=len(documents))
        for batch in _batches(documents):
            failed += _index(client, batch, lambda count: progress.advance(bar, count))
    for reason in failed:
        out.print(f"failed: {reason}", markup=False, style="red")
    out.print(f"{len(documents)} documents read, {len(failed)} failed")
    return len(failed)


def _files(paths: list[Path]) -> list[tuple[Path, Path | None]]:
    """Each file and the folder that its id is relative to."""
    found: list[tuple[Path, Path | None]] = []
    for path in paths:
        found += [(file, path if path.is_dir() else None) for file in find([path])]
    return found


def _readable(files: Iterable[tuple[Path, Path | None]], failed: list[str]) -> Iterator[DocumentIn]:
    for file, root in files:
        try:
            yield from read(file, root)
        except InvalidRequest as exc:
            failed.append(exc.message)


def _batches(documents: list[DocumentIn]) -> Iterator[list[DocumentIn]]:
    """At most `BATCH` documents and, but for a single long one, `BATCH_CHARS` characters."""
    rest = iter(documents)
    while batch := list(islice(rest, BATCH)):
        part: list[DocumentIn] = []
        for document in batch:
            if part and sum(len(d.text) for d in part) + len(document.text) > BATCH_CHARS:
                yield part
                part = []
            part.append(document)
        yield part


def _index(client: Client, batch: list[DocumentIn], advance: Callable[[int], None]) -> list[str]:
    body = {"documents": [document.model_dump(mode="json", exclude_none=True) for document in batch]}
    try:
        job = client.call("POST", "/documents", body)
    except InvalidRequest as exc:
        return [f"{len(batch)} documents were refused: {exc.message}"]
    done = 0
    while not job["finished_at"]:
        time.sleep(POLL_S)
        job = client.call("GET", f"/jobs/{job['job_id']}")
        advance(job["done"] - done)
        done = job["done"]
    if job["status"] == "cancelled":
        raise AnswerboxError(f"The job {job['job_id']} was cancelled.")
    return [f"{error['document_id']}: {error['message']}" for error in job["errors"]]

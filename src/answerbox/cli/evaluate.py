"""The questions of a data set put to a running service, and what came of it shown and written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table

from answerbox.cli.in_langfuse import InLangfuse
from answerbox.client import Client
from answerbox.contracts import (
    DocumentIn,
    Health,
    LlmRequest,
    LlmResponse,
    RagRequest,
    RagResponse,
    SearchRequest,
    SearchResponse,
)
from answerbox.errors import AnswerboxError, DocumentNotFound, InvalidRequest
from answerbox.evaluation import report, result, tables
from answerbox.evaluation.compare import Comparison, compare
from answerbox.evaluation.dataset import Dataset, load
from answerbox.evaluation.experiment import trace_parent
from answerbox.evaluation.result import About, Result
from answerbox.evaluation.run import Door, Plan, count, run

BATCH = 50
REMOVALS = 8


@dataclass(frozen=True)
class Files:
    """What is written, and the earlier result to compare with."""

    json: Path | None = None
    html: Path | None = None
    compare: Path | None = None


@dataclass(frozen=True)
class HttpDoor:
    """`traced`: each question has a trace of its own, which the service's then becomes a part of."""

    client: Client
    traced: bool = False

    def search(self, request: SearchRequest) -> SearchResponse:
        return self.client.search(request)

    def ask(self, request: RagRequest) -> RagResponse:
        return self.client.rag(request, traceparent=trace_parent()) if self.traced else self.client.rag(request)

    def ask_alone(self, request: LlmRequest) -> LlmResponse:
        return self.client.llm(request)


def evaluate(
    client: Client,
    folder: Path,
    languages: list[str] | None,
    plan: Plan,
    files: Files,
    out: Console,
    ingest: bool = True,
    keep: bool = False,
    langfuse: InLangfuse | None = None,
) -> int:
    """Returns how many requests, documents and other things failed; each is named with its reason, the rest goes on.

    Raises:
        InvalidRequest: the data set, the earlier result or a place to write to is wrong.
        AnswerboxError: the service cannot be used.
    """
    dataset = load(folder, languages)
    before = result.read(files.compare) if files.compare else None
    _check_folders(files)
    health = client.health()
    if langfuse:
        langfuse.look(out)
    failures: list[str] = []
    door = HttpDoor(client, traced=langfuse is not None)
    if ingest:
        with indexed(client, dataset, out, failures, keep):
            found = measure(door, dataset, plan, health, out)
    else:
        found = measure(door, dataset, plan, health, out)
    comparison = _compared(before, found, failures)
    show(found, comparison, out)
    _write(found, comparison, files)
    if langfuse:
        failures += langfuse.keep(found, out)
    for reason in failures:
        out.print(f"failed: {reason}", markup=False, highlight=False, soft_wrap=True, style="red")
    return len(failures) + len(found.failed)


def measure(
    door: Door, dataset: Dataset, plan: Plan, health: Health, out: Console, machine: str | None = None
) -> Result:
    """The run with a progress bar; `health` is what the service says of itself."""
    about = About(
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        dataset=dataset.name,
        version=health.version,
        models=health.models,
        machine=machine,
        options=asdict(plan),
    )
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=out, transient=True) as progress:
        bar = progress.add_task("asking", total=count(dataset, plan))
        return run(dataset, door, plan, about, partial(progress.advance, bar))


@contextmanager
def indexed(client: Client, dataset: Dataset, out: Console, failures: list[str], keep: bool = False) -> Iterator[None]:
    """The documents are in the service until the block ends; what goes wrong is added to `failures`."""
    documents = [document for language in dataset.languages for document in language.documents()]
    try:
        with Progress(console=out, transient=True) as progress:
            bar = progress.add_task("indexing", total=len(documents))
            for first in range(0, len(documents), BATCH):
                batch = documents[first : first + BATCH]
                failures += _index(client, batch)
                progress.advance(bar, len(batch))
        yield
    finally:
        if not keep:
            failures += _remove(client, documents)


def show(found: Result, comparison: Comparison | None, out: Console) -> None:
    shown = tables.of_result(found)
    if comparison:
        shown.append(tables.of_comparison(comparison))
    for table in shown:
        out.print(_rich(table))
    if comparison and (left_out := len(comparison.only_before) + len(comparison.only_after)):
        out.print(f"{left_out} questions are in one of the two results only, and left out of the comparison")
    for reason, names in _by_reason(found).items():
        line = f"failed ({len(names)}): {reason} {', '.join(names)}"
        out.print(line, markup=False, highlight=False, soft_wrap=True, style="red")
    for row in found.answers:
        for text in row.quotes.broken:
            line = f"not verbatim: answer {row.language}/{row.id}: {text}"
            out.print(line, markup=False, highlight=False, soft_wrap=True, style="red")


def _compared(before: Result | None, found: Result, failures: list[str]) -> Comparison | None:
    if before is None:
        return None
    try:
        return compare(before, found)
    except InvalidRequest as exc:  # what was measured is worth showing all the same
        failures.append(str(exc))
        return None


def _write(found: Result, comparison: Comparison | None, files: Files) -> None:
    if files.json:
        result.write(found, files.json)
    if files.html:
        files.html.write_text(report.page(found, comparison), encoding="utf-8")


def _check_folders(files: Files) -> None:
    for path in (files.json, files.html):
        if path and not path.resolve().parent.is_dir():
            raise InvalidRequest(f"There is no folder {str(path.resolve().parent)!r} to write {path.name!r} into.")
        if path and path.is_dir():
            raise InvalidRequest(f"{str(path)!r} is a folder, not a file to write.")


def _index(client: Client, batch: list[DocumentIn]) -> list[str]:
    try:
        job = client.wait(client.add_documents(batch))
    except InvalidRequest as exc:
        return [f"{len(batch)} documents from {batch[0].id} on were refused: {exc.message}"]
    return [f"{error.document_id}: {error.message}" for error in job.errors]


def _remove(client: Client, documents: list[DocumentIn]) -> list[str]:
    with ThreadPoolExecutor(REMOVALS) as pool:
        reasons = list(pool.map(partial(_remove_one, client), documents))
    return [f"{one.id} was not removed: {reason}" for one, reason in zip(documents, reasons, strict=True) if reason]


def _remove_one(client: Client, document: DocumentIn) -> str | None:
    try:
        with suppress(DocumentNotFound):
            client.delete_document(str(document.id), document.user_id)
    except AnswerboxError as exc:
        return str(exc)
    return None


def _by_reason(found: Result) -> dict[str, list[str]]:
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for row in found.search:
        if row.error:
            reasons[row.error].append(f"search {row.language}/{row.id}")
    for asked in found.answers:
        if asked.error:
            reasons[asked.error].append(f"answer {asked.language}/{asked.id}")
    for attack in found.attacks:
        if attack.error:
            reasons[attack.error].append(f"attack {attack.language}/{attack.id}")
    return reasons


def _rich(table: tables.Table) -> Table:
    shown = Table(*table.header, title=table.title, title_justify="left")
    for row in table.rows:
        shown.add_row(*row)
    return shown

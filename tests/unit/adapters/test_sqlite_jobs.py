"""The line that a job has in the log when it has ended: one, and only where the end stands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn
from answerbox.documents.words import words_of
from answerbox.errors import IndexUnavailable
from answerbox.ledger import Claimed, Revision
from answerbox.ports import Chunk


@pytest.fixture
def ledger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[SqliteLedger]:
    caplog.set_level(logging.INFO, "answerbox")
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    yield ledger
    ledger.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.getMessage() == "job"]


def enqueue(ledger: SqliteLedger, *names: str) -> tuple[str, list[Claimed]]:
    job = ledger.enqueue([(name, DocumentIn(text=f"Of {name}.")) for name in names], None)
    return job.job_id, ledger.claim(len(names))


def replace(ledger: SqliteLedger, item: Claimed) -> None:
    chunk = Chunk(f"{item.key}-0", item.key, 0, "Bread.", 0, 6)
    ledger.replace(item, Revision("hash", "recipe", [chunk], [words_of(chunk, None)], "m", [[1.0]]))


def test_a_job_that_ends_has_one_line(ledger: SqliteLedger, caplog: pytest.LogCaptureFixture) -> None:
    job_id, items = enqueue(ledger, "a", "b")
    replace(ledger, items[0])
    assert not lines(caplog)
    for _ in range(2):
        replace(ledger, items[1])
        ledger.finish(items[1], None)
    [line] = lines(caplog)
    expected = {"job_id": job_id, "kind": "ingest", "status": "succeeded", "documents": 2, "chunks": 2, "errors": 0}
    assert {**expected, "levelname": "INFO"}.items() <= line.items()
    assert line["duration_ms"] >= 0


def test_one_that_fails_is_warned_of_without_its_texts(ledger: SqliteLedger, caplog: pytest.LogCaptureFixture) -> None:
    _, items = enqueue(ledger, "a")
    ledger.finish(items[0], "hunter2 is wrong")
    [line] = lines(caplog)
    assert (line["levelname"], line["status"], line["errors"]) == ("WARNING", "failed", 1)
    assert "hunter2" not in repr(line)


def test_other_ends_have_a_line_too(ledger: SqliteLedger, caplog: pytest.LogCaptureFixture) -> None:
    job_id, _ = enqueue(ledger, "a")
    ledger.cancel(job_id)
    enqueue(ledger, "b")
    ledger.delete("b")
    ledger.begin_reindex("m")
    ledger.end_reindex()
    assert [(line["kind"], line["status"]) for line in lines(caplog)] == [
        ("ingest", "cancelled"),
        ("ingest", "succeeded"),
        ("reindex", "succeeded"),
    ]


def test_an_end_that_is_rolled_back_has_none(ledger: SqliteLedger, caplog: pytest.LogCaptureFixture) -> None:
    _, [item] = enqueue(ledger, "a")
    chunk = Chunk("a-0", "a", 0, "Bread.", 0, 6)
    twice = Revision("hash", "recipe", [chunk] * 2, [words_of(chunk, None)] * 2, "m", [[1.0]] * 2)
    with pytest.raises(IndexUnavailable):
        ledger.replace(item, twice)
    assert not lines(caplog)
    ledger.finish(item, None)
    assert len(lines(caplog)) == 1

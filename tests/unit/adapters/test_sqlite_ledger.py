"""What only the SQLite ledger can get wrong: its file, its threads, its transactions. The rest: tests/ports."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.adapters.sqlite_schema import SCHEMA_VERSION
from answerbox.contracts import DocumentIn
from answerbox.documents.words import words_of
from answerbox.errors import IndexUnavailable, SetupError, StorageFull
from answerbox.ledger import Revision, Scope
from answerbox.ports import Chunk
from answerbox.text import content_terms, terms
from tests.live import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(path)
    yield ledger
    ledger.close()


def put(ledger: SqliteLedger, name: str, text: str) -> list[str] | None:
    ledger.enqueue([(name, DocumentIn(text=text))], None)
    [item] = ledger.claim(1)
    return ledger.replace(item, revision(name, text))


def revision(name: str, text: str, chunks: int = 1) -> Revision:
    made = [Chunk(f"{name}-0", name, 0, text, 0, len(text))] * chunks
    return Revision(f"hash of {text}", "recipe", made, [words_of(made[0], None)] * chunks, "m", [[1.0]] * chunks)


def found(ledger: SqliteLedger, *terms: str, limit: int = 100) -> list[str]:
    with ledger.snapshot() as now:
        return [match.chunk_id for match in now.match(terms, limit, Scope())]


def test_everything_is_there_after_a_reopening(path: Path) -> None:
    ledger = SqliteLedger(path)
    put(ledger, "a", "Bread.")
    job = ledger.enqueue([("b", DocumentIn(text="Fish."))], None)
    ledger.remember("key", "value")
    ledger.close()
    again = SqliteLedger(path)
    assert again.document("a").text == "Bread."
    assert again.chunk_ids() == ["a-0"]
    assert again.job(job.job_id) == job
    assert again.recall("key") == "value"
    assert found(again, "bread") == ["a-0"]
    again.close()


def test_a_file_of_a_newer_version_is_refused(path: Path) -> None:
    SqliteLedger(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(SetupError, match="newer Answerbox"):
        SqliteLedger(path)


def test_a_file_that_is_no_database_is_unavailable(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database at all" * 50)
    with pytest.raises(IndexUnavailable):
        SqliteLedger(path)


def test_a_replacement_that_fails_changes_nothing(ledger: SqliteLedger) -> None:
    put(ledger, "a", "Bread.")
    ledger.enqueue([("a", DocumentIn(text="New."))], None)
    [item] = ledger.claim(1)
    with pytest.raises(IndexUnavailable):
        ledger.replace(item, revision("a", "New.", chunks=2))
    assert ledger.document("a").text == "Bread."
    assert ledger.chunk_ids() == ["a-0"]
    assert found(ledger, "bread") == ["a-0"]
    assert found(ledger, "new") == []


def test_a_replaced_document_leaves_no_words_behind(ledger: SqliteLedger) -> None:
    put(ledger, "a", "Bread.")
    put(ledger, "a", "Fish.")
    assert found(ledger, "bread") == []
    assert found(ledger, "fish") == ["a-0"]


def test_a_ledger_of_schema_1_is_brought_up_to_date(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.executescript((Path(__file__).parent / "ledger_1.sql").read_text(encoding="utf-8"))
    db.close()
    ledger = SqliteLedger(path)
    assert ledger.document("bread").text == "Bread is baked at six."
    assert found(ledger, "bread") == ["c1"], "found at once, by its old words"
    assert ledger.job("job-1").status == "queued"
    assert ledger.requeue("recipe") == 1
    claimed = ledger.claim(10)
    assert [item.key for item in claimed] == ["fish", "bread"]
    for item in claimed:
        assert item.document
        ledger.replace(item, revision(item.key, item.document.text))
    assert found(ledger, "bread") == ["bread-0"]
    assert ledger.requeue("recipe") == 0
    ledger.close()
    SqliteLedger(path).close()


def test_many_threads_write_and_read_together(ledger: SqliteLedger) -> None:
    def work(number: int) -> int:
        name = f"d{number:02}"
        ledger.enqueue([(name, DocumentIn(text=f"Bread number {number}."))], None)
        for item in ledger.claim(1):
            assert item.document
            ledger.replace(item, revision(item.key, item.document.text))
        return len(found(ledger, "bread"))

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(work, range(40)))
    assert all(count >= 1 for count in seen)
    assert len(found(ledger, "bread")) == 40


def test_threads_never_claim_the_same_work(ledger: SqliteLedger) -> None:
    ledger.enqueue([(f"d{number}", DocumentIn(text="x")) for number in range(60)], None)
    with ThreadPoolExecutor(6) as pool:
        taken = [item.number for items in pool.map(lambda _: ledger.claim(10), range(6)) for item in items]
    assert len(set(taken)) == len(taken) == 60


def test_closing_waits_for_every_thread_and_lets_nobody_in_afterwards(ledger: SqliteLedger) -> None:
    """A connection that is closed while a thread reads with it brings the process down."""
    put(ledger, "a", "Bread.")
    reads: list[int] = []

    def read() -> str:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                reads.append(len(found(ledger, "bread")))
            except IndexUnavailable as exc:
                return exc.message
        return "still open"

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        wait_until(lambda: len(reads) > 20, 5, "some reads")
        ledger.close()
        after = len(reads)
        assert {reader.result() for reader in readers} == {"The ledger is closed."}
    assert set(reads) == {1}
    assert len(reads) <= after + 4
    for use in (ledger.counts, ledger.resume, lambda: put(ledger, "b", "Fish.")):
        with pytest.raises(IndexUnavailable):
            use()


def test_more_ids_than_a_statement_takes_are_read(ledger: SqliteLedger) -> None:
    for number in range(3):
        put(ledger, f"d{number}", f"Bread {number}.")
    ids = [*(f"none-{number}" for number in range(1_200)), "d2-0", "d0-0"]
    assert list(ledger.stored(ids)) == ["d2-0", "d0-0"]
    assert set(ledger.get_vectors(ids, "m")) == {"d2-0", "d0-0"}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.text(st.sampled_from("aаёß²ǅİ\"'*()^:-+ \u0301\x00"), max_size=30))
def test_words_of_any_query_can_be_matched(ledger: SqliteLedger, query: str) -> None:
    assert found(ledger, *content_terms(query)) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(terms))
def test_every_text_is_found_by_its_own_words(ledger: SqliteLedger, text: str) -> None:
    put(ledger, "any", text)
    assert found(ledger, *content_terms(text)) == ["any-0"]


def may_grow(ledger: SqliteLedger, bytes_: int) -> None:
    """As a disk with so much room; the bound is of this thread's connection."""
    with ledger._file.read() as db:
        pages, size = db.execute("PRAGMA page_count").fetchone()[0], db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages + bytes_ // size}")


@pytest.mark.parametrize("size", [100_000, 40_000_000], ids=["at-once", "more-than-the-cache"])
def test_without_room_a_write_is_refused_as_such_and_with_room_again_it_is_done(
    ledger: SqliteLedger, size: int
) -> None:
    document = DocumentIn.model_construct(text="x" * size, id=None, user_id=None, metadata={})
    may_grow(ledger, 0)
    with pytest.raises(StorageFull):
        ledger.enqueue([("a", document)], None)
    assert ledger.counts() == (0, 0, 0)
    may_grow(ledger, 2 * size)
    ledger.enqueue([("a", document)], None)
    assert ledger.counts() == (0, 0, 1)


def test_what_is_remembered_already_needs_no_room(ledger: SqliteLedger) -> None:
    ledger.remember("key", "value")
    with ledger._file.read() as db:
        before = db.total_changes
        ledger.remember("key", "value")
        assert db.total_changes == before


def test_opening_what_is_up_to_date_needs_no_room(path: Path) -> None:
    SqliteLedger(path).close()
    again = SqliteLedger(path)
    assert path.with_name(f"{path.name}-wal").stat().st_size == 0
    again.close()

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
from answerbox.errors import IndexUnavailable, SetupError
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


def put(ledger: SqliteLedger, name: str, text: str) -> list[str]:
    chunk = Chunk(f"{name}-0", name, 0, text, 0, len(text))
    return ledger.replace(name, DocumentIn(text=text), f"hash of {text}", [chunk], [" ".join(terms(text))])


def test_everything_is_there_after_a_reopening(path: Path) -> None:
    ledger = SqliteLedger(path)
    put(ledger, "a", "Bread.")
    job = ledger.enqueue([("b", DocumentIn(text="Fish."))])
    ledger.remember("key", "value")
    ledger.close()
    again = SqliteLedger(path)
    assert again.document("a").text == "Bread."
    assert again.chunk_ids() == ["a-0"]
    assert again.job(job.job_id) == job
    assert again.recall("key") == "value"
    assert [found.chunk_id for found in again.match(["bread"], 5, None)] == ["a-0"]
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
    twice = Chunk("same-id", "a", 0, "x", 0, 1)
    with pytest.raises(IndexUnavailable):
        ledger.replace("a", DocumentIn(text="New."), "h", [twice, twice], ["new", "new"])
    assert ledger.document("a").text == "Bread."
    assert ledger.chunk_ids() == ["a-0"]
    assert [found.chunk_id for found in ledger.match(["bread"], 5, None)] == ["a-0"]
    assert ledger.match(["new"], 5, None) == []


def test_a_replaced_document_leaves_no_words_behind(ledger: SqliteLedger) -> None:
    put(ledger, "a", "Bread.")
    put(ledger, "a", "Fish.")
    assert ledger.match(["bread"], 5, None) == []
    assert ledger.coverage(["fish"], ["a-0"]) == {"a-0": 1.0}


def test_many_threads_write_and_read_together(ledger: SqliteLedger) -> None:
    def work(number: int) -> int:
        put(ledger, f"d{number:02}", f"Bread number {number}.")
        return len(ledger.match(["bread"], 100, None))

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(work, range(40)))
    assert all(count >= 1 for count in seen)
    assert len(ledger.match(["bread"], 100, None)) == 40


def test_threads_never_claim_the_same_work(ledger: SqliteLedger) -> None:
    ledger.enqueue([(f"d{number}", DocumentIn(text="x")) for number in range(60)])
    with ThreadPoolExecutor(6) as pool:
        taken = [item.seq for items in pool.map(lambda _: ledger.claim(10), range(6)) for item in items]
    assert len(set(taken)) == len(taken) == 60


def test_closing_waits_for_every_thread_and_lets_nobody_in_afterwards(ledger: SqliteLedger) -> None:
    """A connection that is closed while a thread reads with it brings the process down."""
    put(ledger, "a", "Bread.")
    reads: list[int] = []

    def read() -> str:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                reads.append(len(ledger.match(["bread"], 5, None)))
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
    assert list(ledger.chunks(ids)) == ["d2-0", "d0-0"]
    assert set(ledger.coverage(["bread"], ids)) == {"d2-0", "d0-0"}


def test_a_rare_word_weighs_more_than_a_common_one(ledger: SqliteLedger) -> None:
    for number in range(9):
        put(ledger, f"d{number}", "Bread.")
    put(ledger, "fish", "Fish.")
    shares = ledger.coverage(["bread", "fish"], ["d0-0", "fish-0"])
    assert shares["fish-0"] > 0.5 > shares["d0-0"] > 0


def test_a_word_that_no_document_has_lowers_the_share(ledger: SqliteLedger) -> None:
    put(ledger, "a", "Bread.")
    assert 0 < ledger.coverage(["bread", "unicorn"], ["a-0"])["a-0"] < 0.5


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60) | st.text(st.sampled_from("aаёß²ǅİ\"'*()^:-+ \u0301\x00"), max_size=30))
def test_words_of_any_query_can_be_matched(ledger: SqliteLedger, query: str) -> None:
    wanted = content_terms(query)
    assert ledger.match(wanted, 5, None) == []
    assert ledger.coverage(wanted, ["none"]) == {}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(terms))
def test_every_text_is_found_by_its_own_words(ledger: SqliteLedger, text: str) -> None:
    put(ledger, "any", text)
    assert [found.coverage for found in ledger.match(content_terms(text), 5, None)] == [pytest.approx(1.0)]

"""What keeps a search for words quick in a large index: counts that are remembered, and a bound on what is ranked."""

from __future__ import annotations

import pytest

from answerbox.adapters import sqlite_search
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.adapters.sqlite_search import COMMON, Frequencies
from answerbox.ledger import Scope
from tests.unit.adapters.test_sqlite_ledger import ledger, path, put

__all__ = ["ledger", "path"]


def test_counts_of_common_terms_are_kept_until_the_index_has_grown() -> None:
    frequencies = Frequencies()
    frequencies.learn({"bread": COMMON, "rye": COMMON - 1}, 10_000)
    assert frequencies.known("bread", 10_000) == COMMON
    assert frequencies.known("bread", 10_100) == COMMON
    assert frequencies.known("bread", 10_101) is None
    assert frequencies.known("rye", 10_000) is None


def test_a_common_term_is_counted_once(ledger: SqliteLedger) -> None:
    for number in range(COMMON):
        put(ledger, f"d{number}", "bread")
    asked: list[str] = []
    with ledger.snapshot() as now:
        first = now.weights(["bread", "rye"])
        now._db.set_trace_callback(asked.append)  # type: ignore[attr-defined]
        assert now.weights(["bread", "rye"]) == first
        now._db.set_trace_callback(None)  # type: ignore[attr-defined]
    [statement] = [text for text in asked if "vocabulary" in text and text.startswith("SELECT term")]
    assert "rye" in statement
    assert "bread" not in statement


def test_the_rarest_terms_are_ranked_and_at_least_two(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(6):
        put(ledger, f"common{number}", "bread baked")
    put(ledger, "rare", "rye")
    monkeypatch.setattr(sqlite_search, "POSTINGS", 6)
    with ledger.snapshot() as now:
        assert len(now.match(["bread", "bake"], 10, Scope())) == 6
        assert len(now.match(["bread", "rye"], 10, Scope())) == 7
        assert [match.chunk_id for match in now.match(["bread", "rye", "oat"], 10, Scope())] == ["rare-0"]

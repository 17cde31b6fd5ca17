"""Feedback on a real answer, kept by a real service that has nobody to send it to."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.feedback_kit import give_feedback
from tests.live import Live

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def kept(live: Live, score_id: str) -> list[tuple[str, str | None, float, str | None, str]]:
    with closing(sqlite3.connect(live.folder / "data" / "feedback.sqlite3")) as db:
        columns = "trace_id, user_id, score, comment, status"
        return db.execute(f"SELECT {columns} FROM feedback WHERE score_id = ?", (score_id,)).fetchall()


def test_feedback_on_an_answer_is_kept_and_a_later_word_replaces_it(fakes: Live) -> None:
    meta = fakes.post("/llm_query", {"question": "a"}).json()["meta"]
    first = give_feedback(fakes, request_id=meta["request_id"], score=1, user_id="ada")
    assert first["trace_id"] == meta["trace_id"]
    assert kept(fakes, first["score_id"]) == [(meta["trace_id"], "ada", 1.0, None, "waiting")]
    later = give_feedback(fakes, trace_id=meta["trace_id"], score=-1, user_id="ada", comment="No.")
    assert later == first
    assert kept(fakes, first["score_id"]) == [(meta["trace_id"], "ada", -1.0, "No.", "waiting")]


def test_an_answer_in_a_trace_of_the_callers_own_is_named_by_that(fakes: Live) -> None:
    with fakes.client() as client:
        asked = client.post("/llm_query", json={"question": "a"}, headers={"traceparent": TRACEPARENT})
    given = give_feedback(fakes, trace_id=asked.json()["meta"]["trace_id"], score=0.5)
    assert given["trace_id"] == TRACEPARENT.split("-")[1]
    assert len(kept(fakes, given["score_id"])) == 1

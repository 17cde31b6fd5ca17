"""Feedback for the tests, and following it through a real service into what takes Langfuse's place."""

from __future__ import annotations

from typing import Any

from answerbox.feedback import Feedback
from tests.live import Live, wait_until
from tests.otlp_receiver import Receiver


def feedback(number: int, score: float = 1.0, **fields: Any) -> Feedback:
    """Of a trace that has this number."""
    return Feedback(f"{number + 1:032x}", score, **fields)


def give_feedback(live: Live, **body: Any) -> dict[str, Any]:
    """What `POST /feedback` answers: `trace_id` and `score_id`."""
    answer = live.post("/feedback", body)
    assert answer.status_code == 202, answer.text
    given: dict[str, Any] = answer.json()
    return given


def score_of(receiver: Receiver, score_id: str, limit_s: float = 15.0) -> dict[str, Any]:
    """The last score of that id that was taken, once there is one."""

    def taken() -> list[dict[str, Any]]:
        return [score for score in receiver.taken_scores if score["id"] == score_id]

    found: dict[str, Any] = wait_until(taken, limit_s, f"the score {score_id}")[-1]
    return found


def feedback_arrives(live: Live, receiver: Receiver, limit_s: float = 15.0) -> None:
    """Asks, says of the answer what a user may, and waits for that as a score of the answer's trace."""
    meta = live.post("/llm_query", {"question": "What colour is the stone?"}).json()["meta"]
    said = {"score": -0.5, "comment": "Write to ada@example.org.", "user_id": "ada"}
    given = give_feedback(live, request_id=meta["request_id"], **said)
    assert given["trace_id"] == meta["trace_id"]
    score = score_of(receiver, given["score_id"], limit_s)
    assert (score["traceId"], score["name"], score["value"]) == (meta["trace_id"], "user-feedback", -0.5)
    assert (score["comment"], score["metadata"]) == ("Write to [e-mail].", {"user_id": "ada"})

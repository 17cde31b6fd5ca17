"""What may be said of an answer, by whom, and which trace it belongs to; through the edge and the route itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from answerbox import keys
from answerbox.contracts import MAX_COMMENT_CHARS
from answerbox.errors import AnswerboxError, IndexUnavailable
from answerbox.feedback import Feedback
from answerbox.service import documents_api
from answerbox.service.edge import Edge
from answerbox.settings import Settings
from answerbox.traces import trace_id_of
from tests.http.asgi import Call

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
REQUEST = "order-4711-a"


@dataclass
class Keeper:
    """In place of the service that keeps feedback."""

    failure: AnswerboxError | None = None
    kept: list[Feedback] = field(default_factory=list)

    @property
    def feedback(self) -> Keeper:
        return self

    async def add(self, feedback: Feedback) -> None:
        if self.failure:
            raise self.failure
        self.kept.append(feedback)


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> Keeper:
    keeper = Keeper()
    monkeypatch.setattr(documents_api, "_service", lambda: keeper)
    return keeper


@pytest.fixture
def app(tmp_path: Path) -> Edge:
    return Edge(documents_api.documents_app, Settings(data_dir=tmp_path))


async def give(app: Edge, body: Any, headers: dict[str, str] | None = None) -> Call:
    call = Call("POST", "/feedback", json.dumps(body).encode(), headers=headers)
    async with asyncio.timeout(10):
        await call.run(app)
    return call


async def test_an_answer_is_named_by_its_request_or_by_its_trace(app: Edge, keeper: Keeper) -> None:
    by_request = await give(app, {"request_id": REQUEST, "score": 1})
    by_trace = await give(app, {"trace_id": trace_id_of(REQUEST), "score": -0.5, "comment": "Ё", "user_id": None})
    assert (by_request.status, by_trace.status) == (202, 202)
    first, second = keeper.kept
    assert first.trace_id == second.trace_id == trace_id_of(REQUEST)
    assert (first.score, first.comment) == (1.0, None)
    assert (second.score, second.comment) == (-0.5, "Ё")
    told = {"trace_id": first.trace_id, "score_id": first.score_id}
    assert json.loads(by_request.body) == json.loads(by_trace.body) == told


async def test_a_request_id_that_looks_like_a_trace_id_is_one(app: Edge, keeper: Keeper) -> None:
    assert (await give(app, {"request_id": TRACE, "score": 0})).status == 202
    assert keeper.kept[0].trace_id == TRACE


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param({"score": 1}, "body", id="neither"),
        pytest.param({"score": 1, "request_id": None, "trace_id": None}, "body", id="nulls"),
        pytest.param({"score": 1, "request_id": REQUEST, "trace_id": TRACE}, "body", id="both"),
        pytest.param({"score": 1, "request_id": "short"}, "request_id", id="short-request"),
        pytest.param({"score": 1, "request_id": "a" * 129}, "request_id", id="long-request"),
        pytest.param({"score": 1, "request_id": "<script>x"}, "request_id", id="script"),
        pytest.param({"score": 1, "trace_id": "0" * 32}, "trace_id", id="zeros"),
        pytest.param({"score": 1, "trace_id": TRACE.upper()}, "trace_id", id="capitals"),
        pytest.param({"score": 1, "trace_id": TRACE[1:]}, "trace_id", id="short-trace"),
        pytest.param({"score": 1, "trace_id": TRACE + "\n"}, "trace_id", id="line-feed"),
        pytest.param({"request_id": REQUEST}, "score", id="no-score"),
        pytest.param({"score": 1.001, "request_id": REQUEST}, "score", id="above"),
        pytest.param({"score": -2, "request_id": REQUEST}, "score", id="below"),
        pytest.param({"score": True, "request_id": REQUEST}, "score", id="bool"),
        pytest.param({"score": "1", "request_id": REQUEST}, "score", id="text"),
        pytest.param({"score": float("nan"), "request_id": REQUEST}, "score", id="nan"),
        pytest.param(
            {"score": 1, "request_id": REQUEST, "comment": "x" * (MAX_COMMENT_CHARS + 1)}, "comment", id="long-comment"
        ),
        pytest.param({"score": 1, "request_id": REQUEST, "user_id": "a b"}, "user_id", id="user"),
        pytest.param({"score": 1, "request_id": REQUEST, "stars": 5}, "stars", id="unknown"),
    ],
)
async def test_what_breaks_the_contract_is_refused_with_its_place(
    app: Edge, keeper: Keeper, body: dict[str, Any], place: str
) -> None:
    problem = (await give(app, body)).problem()
    assert (problem["status"], problem["code"]) == (422, "invalid_request")
    assert [fault["field"] for fault in problem["errors"]] == [place]
    assert keeper.kept == []


@pytest.mark.parametrize("score", [-1, 1, 0, -0.0, 1.0, 1e-9])
async def test_the_bounds_themselves_are_good(app: Edge, keeper: Keeper, score: float) -> None:
    body = {"score": score, "trace_id": "0" * 31 + "1", "comment": "x" * MAX_COMMENT_CHARS}
    assert (await give(app, body)).status == 202
    assert keeper.kept[0].score == score


async def test_a_key_that_speaks_for_a_user_speaks_for_no_other(tmp_path: Path, keeper: Keeper) -> None:
    ada, _ = keys.create(tmp_path / "keys.json", "ada", ["query"], user_id="ada")
    app = Edge(documents_api.documents_app, Settings(data_dir=tmp_path))
    body = {"trace_id": TRACE, "score": 1}
    assert (await give(app, body)).status == 401
    for named in ({}, {"user_id": "ada"}):
        assert (await give(app, {**body, **named}, {"x-api-key": ada})).status == 202
    assert (await give(app, {**body, "user_id": "bob"}, {"x-api-key": ada})).problem()["code"] == "forbidden"
    assert [each.user_id for each in keeper.kept] == ["ada", "ada"]
    assert keeper.kept[0].score_id == keeper.kept[1].score_id


async def test_feedback_that_cannot_be_kept_is_not_accepted(app: Edge, keeper: Keeper) -> None:
    keeper.failure = IndexUnavailable("disk full")
    call = await give(app, {"trace_id": TRACE, "score": 1})
    assert (call.status, call.problem()["code"]) == (503, "index_unavailable")
    assert call.headers["retry-after"]

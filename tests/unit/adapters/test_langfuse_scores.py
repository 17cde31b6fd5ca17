"""Scores on their way to Langfuse, over real HTTP: taken, later, or never."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import formatdate

import pytest

from answerbox.adapters.langfuse_scores import LangfuseScores
from answerbox.errors import AnswerboxError, InvalidRequest, Unavailable
from answerbox.feedback import Feedback
from tests.feedback_kit import feedback
from tests.live import free_port
from tests.otlp_receiver import Receiver, otlp_receiver

PUBLIC, SECRET = "pk-lf-1", "sk-lf-very-secret"
GOOD = feedback(0, 0.5, comment="Said by Ада.", user_id="ada", given_at=1_764_158_400.25)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as made:
        yield made


def shouted(comment: str) -> str:
    return comment.upper()


async def send(url: str, given: Feedback = GOOD, timeout_s: float = 3.0, comments: bool = True) -> None:
    sink = LangfuseScores(url, (PUBLIC, SECRET), "production", shouted if comments else lambda _: None, timeout_s)
    try:
        await sink.send(given)
    finally:
        await sink.close()


async def failure(url: str, timeout_s: float = 3.0) -> AnswerboxError:
    with pytest.raises(AnswerboxError) as caught:
        await send(url, timeout_s=timeout_s)
    assert SECRET not in str(caught.value)
    assert "Ада" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("slash", ["", "/"], ids=["bare", "slash"])
async def test_a_score_has_all_that_langfuse_needs(receiver: Receiver, slash: str) -> None:
    await send(receiver.url + slash)
    [request] = receiver.requests
    assert (request.method, request.path) == ("POST", "/api/public/scores")
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"{PUBLIC}:{SECRET}".encode()).decode()
    assert isinstance(request.body, list)
    [score] = receiver.taken_scores
    assert datetime.fromisoformat(score.pop("timestamp")).timestamp() == GOOD.given_at
    assert score == {
        "id": GOOD.score_id,
        "traceId": GOOD.trace_id,
        "name": "user-feedback",
        "value": 0.5,
        "dataType": "NUMERIC",
        "comment": "SAID BY АДА.",
        "metadata": {"user_id": "ada"},
        "environment": "production",
    }


async def test_what_was_not_said_is_not_sent_nor_what_may_not_leave(receiver: Receiver) -> None:
    await send(receiver.url, feedback(1))
    await send(receiver.url, GOOD, comments=False)
    bare, quiet = receiver.taken_scores
    assert not {"comment", "metadata"} & bare.keys()
    assert "comment" not in quiet


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("status:400", InvalidRequest, "HTTP 400: test"),
        ("status:413", InvalidRequest, "HTTP 413"),
        ("status:422", InvalidRequest, "HTTP 422"),
        ("rejected", InvalidRequest, "rejected it: test"),
        ("status:401", Unavailable, "LANGFUSE_SECRET_KEY"),
        ("status:403", Unavailable, "LANGFUSE_SECRET_KEY"),
        ("status:404", Unavailable, "LANGFUSE_BASE_URL"),
        ("status:302", Unavailable, "LANGFUSE_BASE_URL"),
        ("status:408", Unavailable, "HTTP 408"),
        ("status:500", Unavailable, "HTTP 500"),
        ("status:503", Unavailable, "HTTP 503"),
        ("retryafter:7", Unavailable, "HTTP 429"),
    ],
)
async def test_a_score_that_was_not_taken_is_refused_or_kept_for_later(
    receiver: Receiver, mode: str, kind: type[AnswerboxError], words: str
) -> None:
    receiver.mode = mode
    error = await failure(receiver.url)
    assert type(error) is kind
    assert words in str(error)
    assert len(receiver.requests) == 1, "who asks says when it is tried again"


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("7", 7, 7),
        (formatdate(time.time() + 7_200, usegmt=True), 3_600, 7_200),  # reckoned when the tests are collected
        (formatdate(time.time() - 90, usegmt=True), 0, 0),
        ("soon", 0, 0),
        ("-1", 0, 0),
    ],
    ids=["seconds", "date", "past", "nonsense", "negative"],
)
async def test_when_it_may_be_tried_again_is_told(receiver: Receiver, told: str, least: int, most: int) -> None:
    receiver.mode = f"retryafter:{told}"
    assert least <= (await failure(receiver.url)).extra["retry_after_s"] <= most


async def test_a_server_that_is_not_there_or_says_nothing_is_tried_later(receiver: Receiver) -> None:
    gone = await failure(f"http://127.0.0.1:{free_port()}")
    assert isinstance(gone, Unavailable)
    assert "LANGFUSE_BASE_URL" in str(gone)
    receiver.mode = "hang"
    began = time.monotonic()
    silent = await failure(receiver.url, timeout_s=0.2)
    assert isinstance(silent, Unavailable)
    assert "0.2 s" in str(silent)
    assert time.monotonic() - began < 2

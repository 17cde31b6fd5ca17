"""Problems on the wire become the classes that they were, and what may be tried again is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from answerbox.contracts import RequestId
from answerbox.errors import (
    AnswerboxError,
    BadUpstream,
    Forbidden,
    InternalError,
    NotReady,
    Overloaded,
    RateLimited,
    Unavailable,
    tree,
)
from answerbox.service.problems import problem, response, status_of
from tests.client_kit import Caller, Reply, Script, answer, done, frame, stream
from tests.unit.client.conftest import Make

ID: RequestId = "request-0001"
TRACE = "ab" * 16
FAULTS = [{"field": "question", "message": "too long"}]


def told(error: AnswerboxError) -> Reply:
    """As the service tells it."""
    made = response(error, ID, "/llm_query", TRACE)
    headers = {name: made.headers[name] for name in ("content-type", "retry-after") if name in made.headers}
    return Reply(made.status_code, bytes(made.body), headers)


def an_error(cls: type[AnswerboxError]) -> AnswerboxError:
    return cls("Чего-то нет.", hint="Do that.", errors=FAULTS, extra={"retry_after_s": 7})


@pytest.mark.parametrize("cls", list(tree()), ids=lambda cls: cls.code)
@pytest.mark.parametrize("in_a_stream", [False, True], ids=["plain", "event"])
def test_every_failure_is_raised_as_its_own_class(
    cls: type[AnswerboxError], in_a_stream: bool, caller: Caller, script: Script
) -> None:
    sent = an_error(cls)
    inside = status_of(sent) == 500
    script.replies = [stream(frame("error", {"problem": problem(sent, ID, "/", TRACE)})) if in_a_stream else told(sent)]
    with pytest.raises(AnswerboxError) as caught:
        caller.events("stream_llm", "Why?") if in_a_stream else caller.call("llm", "Why?")
    got = caught.value
    assert type(got) is (InternalError if inside else cls)
    assert got.extra["request_id"] == ID
    assert got.extra["trace_id"] == TRACE
    if not inside:
        assert (got.code, got.message, got.hint, got.errors) == (sent.code, "Чего-то нет.", "Do that.", FAULTS)
    if not in_a_stream and status_of(sent) in (429, 503):
        assert got.extra["retry_after_s"] == 7


def test_a_code_of_a_later_service_is_the_root_of_the_tree(caller: Caller, script: Script) -> None:
    script.replies = [Reply(418, {"code": "of_tomorrow", "detail": "new"})]
    with pytest.raises(AnswerboxError, match="new") as caught:
        caller.call("llm", "Why?")
    assert type(caught.value) is AnswerboxError


@pytest.mark.parametrize(
    ("status", "body", "cls"),
    [(502, b"<html>", Unavailable), (401, b"who?", BadUpstream), (403, b'["no"]', BadUpstream)],
)
def test_a_failure_of_something_before_the_service(
    status: int, body: bytes, cls: type[AnswerboxError], caller: Caller, script: Script
) -> None:
    script.replies = [Reply(status, body)]
    with pytest.raises(cls, match=str(status)):
        caller.call("llm", "Why?")


def test_a_stream_that_is_refused_is_raised_before_its_first_event(caller: Caller, script: Script) -> None:
    script.replies = [told(Forbidden("No."))]
    with pytest.raises(Forbidden):
        caller.events("stream_llm", "Why?")


def test_what_was_refused_is_tried_again_after_the_pause_that_was_asked_for(make: Make, script: Script) -> None:
    script.replies = [told(Overloaded("Busy.", extra={"retry_after_s": 1})), Reply(body=answer().model_dump())]
    began = time.monotonic()
    assert make().call("llm", "Why?") == answer()
    assert time.monotonic() - began >= 1


def test_a_stream_is_opened_again_too(make: Make, script: Script) -> None:
    script.replies = [Reply(lost=True), stream(done())]
    assert [event.event for event in make().events("stream_llm", "Why?")] == ["done"]


@pytest.mark.parametrize("retry_s", [0, 10], ids=["never", "a-pause-too-long"])
def test_what_would_take_too_long_is_not_tried_again(retry_s: float, make: Make, script: Script) -> None:
    script.replies = [told(RateLimited("Slow down.", extra={"retry_after_s": 11}))]
    with pytest.raises(RateLimited):
        make(retry_s=retry_s).call("llm", "Why?")


def test_after_three_times_the_failure_is_told(make: Make, script: Script) -> None:
    script.replies = [Reply(lost=True)] * 3
    with pytest.raises(Unavailable):
        make().call("health")
    assert len(script.asked) == 3


@pytest.mark.parametrize(
    ("method", "given", "reply"),
    [
        pytest.param("agent", "Why?", Reply(lost=True), id="an-agent-that-may-have-acted"),
        pytest.param("agent", "Why?", told(Overloaded("Busy.")), id="an-agent-that-may-have-acted-before"),
        pytest.param("delete_document", "a", Reply(lost=True), id="a-deed-that-may-be-done"),
        pytest.param("llm", "Why?", told(Forbidden("No.")), id="a-refusal-for-good"),
        pytest.param("llm", "Why?", Reply(200, b"<html>"), id="nonsense"),
    ],
)
def test_what_could_do_harm_or_no_good_is_not_tried_again(
    method: str, given: str, reply: Reply, make: Make, script: Script
) -> None:
    script.replies = [reply]
    with pytest.raises(AnswerboxError):
        make().call(method, given)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("method", "given", "error"),
    [("agent", "Why?", RateLimited("Slow down.")), ("delete_document", "a", NotReady("Soon."))],
)
def test_what_the_service_has_not_begun_is_tried_again(
    method: str, given: Any, error: AnswerboxError, make: Make, script: Script
) -> None:
    error.extra["retry_after_s"] = 0
    script.replies = [told(error), told(Forbidden("The second one."))]
    with pytest.raises(Forbidden):
        make().call(method, given)

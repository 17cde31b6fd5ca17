"""Streams as the clients read them: whole, cut anywhere, broken off, and left."""

from __future__ import annotations

from typing import Any

import pytest

from answerbox.client.wire import EVENTS
from answerbox.contracts import AgentResponse, DoneEvent, LlmResponse, RagResponse, TokenEvent
from answerbox.errors import BadUpstream, DeadlineExceeded, Unavailable
from tests.client_kit import Caller, Reply, Script, answer, done, frame, stream, wait_until_gone
from tests.unit.client.conftest import Make

TOKEN = frame("token", {"text": "Привет"})
WHOLE = (
    b": still working\n\n"
    + 'event: token\r\ndata: {"text":\r\ndata: "Привет\u2028"}\r\n\r\n'.encode()
    + frame("of_tomorrow", {"x": 1})
    + done()
)


def test_every_event_of_the_contract_is_read() -> None:
    assert sorted(EVENTS) == ["citation", "correction", "done", "meta", "step", "token", "tool_call", "tool_result"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(WHOLE)])
def test_it_may_be_cut_anywhere_and_have_events_of_a_later_contract(size: int, caller: Caller, script: Script) -> None:
    script.replies = [stream(*(WHOLE[at : at + size] for at in range(0, len(WHOLE), size)))]
    found = caller.events("stream_llm", "Why?")
    assert found == [TokenEvent(text="Привет\u2028"), DoneEvent(response=answer())]
    assert script.asked[0].path == "/llm_query/stream"


@pytest.mark.parametrize(
    "reply",
    [stream(TOKEN), stream(TOKEN, end="cut"), stream(TOKEN, b"event: done\ndata: {"), stream()],
    ids=["without-an-end", "cut", "cut-in-the-end", "empty"],
)
def test_one_that_breaks_off_is_a_failure(reply: Reply, caller: Caller, script: Script) -> None:
    script.replies = [reply]
    with pytest.raises(Unavailable, match="broke off"):
        caller.events("stream_llm", "Why?")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(chunks=[b"<html>"], headers={"Content-Type": "text/html"}),
        stream(frame("token", {"words": 1})),
        stream(frame("error", ["no problem"])),
        stream(b"event: error\ndata: {\n\n"),
    ],
    ids=["no-stream", "no-such-token", "no-problem", "no-json"],
)
def test_one_that_cannot_be_read_is_a_bad_upstream(reply: Reply, caller: Caller, script: Script) -> None:
    script.replies = [reply]
    with pytest.raises(BadUpstream):
        caller.events("stream_llm", "Why?")


def test_a_connection_that_breaks_after_the_end_spoils_nothing(caller: Caller, script: Script) -> None:
    script.replies = [stream(done(), end="cut")]
    assert caller.events("stream_llm", "Why?") == [DoneEvent(response=answer())]


def test_one_that_falls_silent_is_waited_for_so_long(make: Make, script: Script) -> None:
    script.replies = [stream(TOKEN, end="held")]
    with pytest.raises(DeadlineExceeded):
        make(timeout_s=0.2).events("stream_llm", "Why?")
    wait_until_gone(script)


def test_leaving_it_hangs_up(caller: Caller, script: Script) -> None:
    script.replies = [stream(TOKEN, TOKEN, end="held")]
    assert caller.events("stream_llm", "Why?", take=1) == [TokenEvent(text="Привет")]
    wait_until_gone(script)


@pytest.mark.parametrize("kind", [LlmResponse, RagResponse, AgentResponse])
def test_fields_of_a_later_contract_are_passed_over(kind: Any, caller: Caller, script: Script) -> None:
    name = kind.__name__.removesuffix("Response").lower()
    more = {"plan": "tools", "turns": 1, "ended_by": "answer"} if kind is AgentResponse else {}
    meta = {**answer().meta.model_dump(), "pipeline": name, **more}
    response = kind.model_validate({"answer": "Yes.", "meta": meta})
    data = response.model_dump(mode="json")
    data |= {"mood": "good", "meta": {**data["meta"], "weather": [1]}}
    script.replies = [stream(frame("done", {"response": data, "later": 1}))]
    [event] = caller.events(f"stream_{name}", "Why?")
    assert event == DoneEvent(response=response)

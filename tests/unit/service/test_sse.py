"""A pipeline's stream as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from answerbox.contracts import DoneEvent, Event, LlmMeta, LlmResponse, MetaEvent, TokenEvent
from answerbox.errors import GeneratorUnavailable, PromptTooLong
from answerbox.service.exchange import ClientGone, Exchange
from answerbox.service.sse import BUFFER, HEARTBEAT, frame, stream_response
from tests.doubles import until

META = MetaEvent(request_id="request-1", pipeline="llm", model="scripted")
DONE = DoneEvent(
    response=LlmResponse(
        answer="Paris",
        meta=LlmMeta(request_id="request-1", pipeline="llm", model="m", finish_reason="stop", latency_ms=1),
    )
)
TOKEN = TokenEvent(text="Paris")


class Pipe:
    """Events, errors to raise and things to wait for, in order."""

    def __init__(self, *script: Event | Exception | asyncio.Event) -> None:
        self.script: Sequence[Event | Exception | asyncio.Event] = script
        self.given = 0
        self.closed = False

    async def events(self) -> AsyncGenerator[Event, None]:
        try:
            for part in self.script:
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif isinstance(part, Exception):
                    raise part
                else:
                    self.given += 1
                    yield part
        finally:
            self.closed = True


def exchange() -> Exchange:
    return Exchange("request-1", "/llm_query/stream", 30)


async def frames(pipe: Pipe, heartbeat_s: float = 5.0) -> list[str]:
    response = await stream_response(pipe.events(), exchange(), heartbeat_s)
    return [str(part) async for part in response.body_iterator]


def read(text: str) -> tuple[str, dict[str, Any]]:
    name, data, *rest = text.split("\n")
    assert rest == ["", ""], "a frame ends in one blank line"
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return name.removeprefix("event: "), found


@pytest.mark.parametrize(
    "text",
    ["Paris", "два\nlines\r\n", "\n\n", "data: x\n\nevent: done", "\u2028\u2029\x85", "🙂", '"\\', ""],
    ids=ascii,
)
def test_a_frame_is_one_line_of_json_whatever_the_text(text: str) -> None:
    assert read(frame(TokenEvent(text=text))) == ("token", {"text": text})
    assert len(frame(TokenEvent(text=text)).splitlines()) == 3, "also for clients that know more ends of a line"


def test_a_frame_has_the_event_without_its_name() -> None:
    assert frame(TOKEN) == 'event: token\ndata: {"text": "Paris"}\n\n'


async def test_the_events_come_in_order_and_done_is_the_last() -> None:
    pipe = Pipe(META, TOKEN, TOKEN, DONE)
    names = [read(text)[0] for text in await frames(pipe)]
    assert names == ["meta", "token", "token", "done"]
    assert pipe.closed


async def test_a_stream_may_not_be_stored_or_buffered() -> None:
    response = await stream_response(Pipe(TOKEN, DONE).events(), exchange(), 5)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["content-type"].startswith("text/event-stream")
    assert [part async for part in response.body_iterator]


@pytest.mark.parametrize("before", [[], [META]], ids=["at-once", "after-meta"])
async def test_a_failure_before_the_first_word_keeps_its_own_status(before: list[Event]) -> None:
    pipe = Pipe(*before, PromptTooLong("too long"))
    with pytest.raises(PromptTooLong):
        await stream_response(pipe.events(), exchange(), 5)
    assert pipe.closed


async def test_a_failure_after_the_first_word_is_the_last_event() -> None:
    *_, last = await frames(Pipe(META, TOKEN, GeneratorUnavailable("gone")))
    name, data = read(last)
    assert (name, data["problem"]["code"], data["problem"]["status"]) == ("error", "generator_unavailable", 503)
    assert (data["problem"]["request_id"], data["problem"]["instance"]) == ("request-1", "/llm_query/stream")


async def test_a_bug_after_the_first_word_is_the_last_event_and_leaks_nothing() -> None:
    *_, last = await frames(Pipe(META, TOKEN, ValueError("hunter2")))
    assert "hunter2" not in last
    name, data = read(last)
    assert (name, data["problem"]["status"]) == ("error", 500)


async def test_silence_is_filled_with_heartbeats() -> None:
    waiting = asyncio.Event()
    pipe = Pipe(META, waiting, TOKEN, DONE)
    response = await stream_response(pipe.events(), exchange(), 0.02)
    seen: list[str] = []
    async for part in response.body_iterator:
        seen.append(str(part))
        if seen.count(HEARTBEAT) == 2:
            waiting.set()
    names = [read(text)[0] for text in seen if text != HEARTBEAT]
    assert names == ["meta", "token", "done"]
    assert seen.count(HEARTBEAT) >= 2


async def test_a_slow_reader_makes_the_pipeline_wait() -> None:
    pipe = Pipe(*[TOKEN] * 500, DONE)
    response = await stream_response(pipe.events(), exchange(), 5)
    await until(lambda: pipe.given > BUFFER)
    assert pipe.given <= BUFFER + 5
    assert len([part async for part in response.body_iterator]) == 501


async def test_a_reader_who_leaves_ends_the_pipeline() -> None:
    pipe = Pipe(META, TOKEN, asyncio.Event())
    response = await stream_response(pipe.events(), exchange(), 5)
    body = response.body_iterator
    assert isinstance(body, AsyncGenerator)
    async with aclosing(body):
        async for _ in body:
            break
    assert pipe.closed


async def test_a_client_who_leaves_before_the_first_word_ends_the_pipeline() -> None:
    pipe, this = Pipe(META, asyncio.Event()), exchange()
    waiting = asyncio.create_task(stream_response(pipe.events(), this, 5))
    await until(lambda: pipe.given)
    this.disconnected.set()
    with pytest.raises(ClientGone):
        await waiting
    assert pipe.closed

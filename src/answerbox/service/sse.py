"""Server-sent events: a pipeline's stream on the wire (WHATWG HTML, section "Server-sent events").

Every stream ends in `done` or `error`. Nothing is sent before the first piece of text or the first call of a tool, so
that early failures still get their own status; but no longer than one heartbeat, so that proxies see life.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.responses import StreamingResponse

from answerbox.contracts import DoneEvent, ErrorEvent, Event, TokenEvent, ToolCallEvent
from answerbox.errors import AnswerboxError, InternalError
from answerbox.service import problems
from answerbox.service.exchange import Exchange

log = logging.getLogger(__name__)

HEARTBEAT = ": still working\n\n"
BUFFER = 64
"""Events that wait for a slow reader before the pipeline waits too."""

LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
"""No ends of a line for the standard, but for clients that split as Python does (httpx)."""

Item = Event | AnswerboxError
Framing = Callable[[Event | ErrorEvent], str]
"""What an event is on the wire; nothing where it is not told."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def data(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False).translate(LINE_ENDS)}\n\n"


def frame(event: Event | ErrorEvent) -> str:
    return f"event: {event.event}\n{data(event.model_dump(mode='json', exclude={'event'}))}"


async def stream_response(
    events: AsyncGenerator[Event, None], this: Exchange, heartbeat_s: float, framing: Framing = frame
) -> StreamingResponse:
    """The response for these events.

    Raises:
        AnswerboxError: the pipeline failed before the first piece of text.
        ClientGone
    """
    items: asyncio.Queue[Item] = asyncio.Queue(BUFFER)
    pump = asyncio.create_task(_pump(events, items, this))
    try:
        held = await this.run(_until_text(items, heartbeat_s))
    except BaseException:
        await _stop(pump)
        raise
    frames = _frames(held, items, pump, this, heartbeat_s, framing)
    return StreamingResponse(frames, media_type="text/event-stream", headers=HEADERS)


async def _pump(events: AsyncGenerator[Event, None], items: asyncio.Queue[Item], this: Exchange) -> None:
    try:
        async with this.while_open(), aclosing(events):
            async for event in events:
                await items.put(event)
                if isinstance(event, DoneEvent):
                    return
        await items.put(InternalError("The pipeline ended without an answer."))
    except AnswerboxError as exc:
        await items.put(exc)
    except Exception:
        log.exception("a stream failed")
        await items.put(InternalError("unexpected"))


async def _until_text(items: asyncio.Queue[Item], limit_s: float) -> list[Item]:
    """The events up to the first with text or the agent's first deed, or as many as there are after `limit_s`."""
    held: list[Item] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while True:
                item = await items.get()
                if isinstance(item, AnswerboxError):
                    raise item
                held.append(item)
                if isinstance(item, TokenEvent | ToolCallEvent | DoneEvent):
                    break
    return held


async def _frames(
    held: list[Item],
    items: asyncio.Queue[Item],
    pump: asyncio.Task[None],
    this: Exchange,
    heartbeat_s: float,
    framing: Framing,
) -> AsyncGenerator[str, None]:
    try:
        while True:
            try:
                item = held.pop(0) if held else await asyncio.wait_for(items.get(), heartbeat_s)
            except TimeoutError:
                yield HEARTBEAT
                continue
            event = _error_event(item, this) if isinstance(item, AnswerboxError) else item
            if text := framing(event):
                yield text
            if isinstance(event, DoneEvent | ErrorEvent):
                return
    finally:
        await _stop(pump)


def _error_event(error: AnswerboxError, this: Exchange) -> ErrorEvent:
    this.error = error
    problems.log_bug(error, this.request_id)
    return ErrorEvent(problem=problems.problem(error, this.request_id, this.path, this.trace.trace_id))


async def _stop(pump: asyncio.Task[None]) -> None:
    pump.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pump

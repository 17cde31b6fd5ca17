"""The `Generator` port over `bentoml.depends`: all generations of a process share one stream from the model's service.

So a step of the model is one message, however many requests it served, and the number of connections (aiohttp gives a
session 100) does not bound the number of requests. What BentoML does by default and this file deals with: a stream
is cut into pieces anywhere (so it is lines of ASCII JSON), it lives no longer than `traffic.timeout` (so a new one
is opened every `CHANNEL_S` seconds, and the old one ends with its last request), closing a stream here does not
stop the work there (so `cancel` is called), and the client keeps the connection of a stream that is left in the middle
(so the service is asked to end it).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextvars import Context
from typing import Any

from answerbox.adapters.bento_remote import VENDOR_ERRORS, call_service, in_time, method_of, probe_service
from answerbox.errors import AnswerboxError, BadUpstream, GeneratorUnavailable, from_wire
from answerbox.ports import Finish, GenerationRequest, GeneratorInfo, Piece

CHANNEL_S = 60.0
"""With the longest deadline (500 s) less than BentoML's limit for the stream (`service/envelope.py`: 600 s)."""

ANSWER_LIMIT_S = 10.0
LOST = "The language model cannot be reached."

Item = Piece | Finish | AnswerboxError


class RemoteGenerator:
    def __init__(self, service: Any) -> None:
        self._service = service
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._info: GeneratorInfo | None = None
        self._answered = time.monotonic()

    async def info(self) -> GeneratorInfo:
        if self._info is None:
            data = await self.probe()
            names = ("model", "context_tokens", "small", "tools")
            self._info = GeneratorInfo(languages=tuple(data["languages"]), **{name: data[name] for name in names})
        return self._info

    async def probe(self) -> dict[str, Any]:
        """What the service says of itself now, not remembered."""
        return await probe_service(self._service, GeneratorUnavailable)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        channel = await self._current_channel()
        call_id = uuid.uuid4().hex
        items = channel.register(call_id)
        finished = False
        try:
            await self._submit(channel_id=channel.id, call_id=call_id, request=request.to_wire())
            while not finished:
                item = await items.get()
                finished = isinstance(item, Finish | AnswerboxError)
                if isinstance(item, AnswerboxError):
                    raise item
                yield item
        finally:
            channel.forget(call_id)
            if not finished and not channel.lost:
                # In a task of its own, for the caller is itself being cancelled.
                self._in_background(self._call("cancel", call_id=call_id))

    async def cancel(self, request_id: str) -> bool:
        return bool(await self._call("cancel_request", request_id=request_id))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _submit(self, **arguments: Any) -> None:
        """A dead worker's socket keeps callers waiting; one that answers others is busy, not dead.

        Raises:
            GeneratorUnavailable: nobody was answered for `ANSWER_LIMIT_S`.
        """
        began = time.monotonic()
        call = asyncio.ensure_future(self._call("submit", **arguments))
        try:
            while not call.done():
                left = max(began, self._answered) + ANSWER_LIMIT_S - time.monotonic()
                if left <= 0:
                    raise GeneratorUnavailable("The language model does not answer.")
                await asyncio.wait({call}, timeout=left)
            call.result()
            self._answered = time.monotonic()
        finally:
            call.cancel()

    async def _call(self, method: str, **arguments: Any) -> Any:
        return await call_service(self._service, method, GeneratorUnavailable, **arguments)

    async def _current_channel(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.lost or self._channel.age_s > CHANNEL_S:
                if self._channel:
                    self._channel.retire()
                self._channel = Channel()
                self._in_background(self._channel.listen(self._service))
            channel = self._channel
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await channel.opened.wait()
            except TimeoutError:
                raise GeneratorUnavailable("The language model does not answer.") from None
            if channel.lost:
                raise GeneratorUnavailable(LOST)
        return channel

    def _in_background(self, work: Awaitable[Any]) -> None:
        # In a context of its own: a channel serves many requests, and must not log with the ids of its first.
        task = asyncio.create_task(_quietly(work), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Channel:
    """One stream, and who waits for what in it. When it is lost, everyone who waits is told."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.opened = asyncio.Event()
        self.lost = False
        self._retired = False
        self._idle = asyncio.Event()
        self._began = time.monotonic()
        self._calls: dict[str, asyncio.Queue[Item]] = {}

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._began

    def register(self, call_id: str) -> asyncio.Queue[Item]:
        items: asyncio.Queue[Item] = asyncio.Queue()
        self._calls[call_id] = items
        return items

    def forget(self, call_id: str) -> None:
        self._calls.pop(call_id, None)
        self._end_if_done()

    def retire(self) -> None:
        """Takes no more calls, and ends with the last one."""
        self._retired = True
        self._end_if_done()

    async def listen(self, service: Any) -> None:
        """Hands out what arrives until the channel is retired and its calls are done, or it is lost."""
        reading = asyncio.ensure_future(self._read(service))
        done = asyncio.ensure_future(self._idle.wait())
        try:
            await asyncio.wait({reading, done}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                async with in_time(ANSWER_LIMIT_S, GeneratorUnavailable):
                    await call_service(service, "end_channel", GeneratorUnavailable, channel_id=self.id)
                    await reading
        finally:
            reading.cancel()
            done.cancel()
            self._lose()

    async def _read(self, service: Any) -> None:
        try:
            listen = method_of(service, "listen", GeneratorUnavailable)
            async for line in lines(listen(channel_id=self.id)):
                for call_id, item in json.loads(line):
                    if call_id in self._calls:
                        self._calls[call_id].put_nowait(_item(item))
                self.opened.set()
        except (*VENDOR_ERRORS, AnswerboxError):
            return  # `listen` tells those who wait

    def _end_if_done(self) -> None:
        if self._retired and not self._calls:
            self._idle.set()

    def _lose(self) -> None:
        self.lost = True
        self.opened.set()
        for items in self._calls.values():
            items.put_nowait(GeneratorUnavailable(LOST))


async def lines(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    rest = ""
    async for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        for line in whole:
            yield line
    if rest:
        raise BadUpstream("A stream ended in the middle of a line.")


def _item(data: dict[str, Any]) -> Item:
    if "piece" in data:
        return Piece(data["piece"])
    if "finish" in data:
        return Finish.from_wire(data["finish"])
    return from_wire(data["error"])


async def _quietly(work: Awaitable[Any]) -> None:
    try:
        await work
    except (*VENDOR_ERRORS, AnswerboxError):
        return

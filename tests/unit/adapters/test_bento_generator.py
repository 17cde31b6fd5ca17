"""The way of the channels: how one follows another, and that none is left open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

import pytest

from answerbox.adapters import bento_generator
from answerbox.adapters.bento_generator import RemoteGenerator
from answerbox.errors import GeneratorUnavailable
from answerbox.ports import Finish, GenerationRequest, Message, Piece
from tests.doubles import until

END = Finish("stop", 1, 1)


class Service:
    """The model's service as BentoML's client shows it. `ended`: streams that came to their own end."""

    def __init__(self) -> None:
        self.to_async = self
        self.open: dict[str, asyncio.Queue[str | None]] = {}
        self.ended = 0
        self.holds: asyncio.Event | None = None
        """Submissions wait for it."""

    async def listen(self, channel_id: str) -> AsyncGenerator[str, None]:
        lines = self.open[channel_id] = asyncio.Queue()
        yield "[]\n"
        while line := await lines.get():
            yield line
        self.ended += 1
        del self.open[channel_id]

    async def submit(self, channel_id: str, call_id: str, request: dict[str, Any]) -> dict[str, Any]:
        if self.holds and request["request_id"] == "held":
            await self.holds.wait()
        items = [[call_id, {"piece": request["messages"][0]["content"]}], [call_id, {"finish": asdict(END)}]]
        self.open[channel_id].put_nowait(json.dumps(items) + "\n")
        return {"result": None}

    async def end_channel(self, channel_id: str) -> dict[str, Any]:
        self.open[channel_id].put_nowait(None)
        return {"result": None}


async def test_a_channel_that_is_replaced_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """BentoML's client keeps the connection of a stream that is left in the middle."""
    monkeypatch.setattr(bento_generator, "CHANNEL_S", 0.0)
    service = Service()
    generator = RemoteGenerator(service)
    for number in range(3):
        request = GenerationRequest("r", (Message("user", f"w{number}"),), 1)
        assert [item async for item in generator.generate(request)] == [Piece(f"w{number}"), END]
    await until(lambda: service.ended == 2, what="the first two have ended")
    assert len(service.open) == 1
    await generator.close()


async def said(generator: RemoteGenerator, request_id: str) -> list[Piece | Finish]:
    return [item async for item in generator.generate(GenerationRequest(request_id, (Message("user", "w"),), 1))]


async def test_a_service_that_answers_nobody_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bento_generator, "ANSWER_LIMIT_S", 0.1)
    service = Service()
    service.holds = asyncio.Event()
    with pytest.raises(GeneratorUnavailable):
        await said(RemoteGenerator(service), "held")


async def test_a_service_that_answers_others_is_busy_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_s = 0.3
    monkeypatch.setattr(bento_generator, "ANSWER_LIMIT_S", limit_s)
    service, began = Service(), time.monotonic()
    service.holds = asyncio.Event()
    generator = RemoteGenerator(service)
    waits = asyncio.create_task(said(generator, "held"))
    while time.monotonic() < began + 3 * limit_s:
        await said(generator, "other")
    assert not waits.done()
    service.holds.set()
    assert await waits == [Piece("w"), END]
    await generator.close()

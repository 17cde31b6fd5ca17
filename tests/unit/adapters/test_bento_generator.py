"""The way of the channels: how one follows another, and that none is left open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

import pytest

from answerbox.adapters import bento_generator
from answerbox.adapters.bento_generator import RemoteGenerator
from answerbox.ports import Finish, GenerationRequest, Message, Piece
from tests.doubles import until

END = Finish("stop", 1, 1)


class Service:
    """The model's service as BentoML's client shows it. `ended`: streams that came to their own end."""

    def __init__(self) -> None:
        self.to_async = self
        self.open: dict[str, asyncio.Queue[str | None]] = {}
        self.ended = 0

    async def listen(self, channel_id: str) -> AsyncGenerator[str, None]:
        lines = self.open[channel_id] = asyncio.Queue()
        yield "[]\n"
        while line := await lines.get():
            yield line
        self.ended += 1
        del self.open[channel_id]

    async def submit(self, channel_id: str, call_id: str, request: dict[str, Any]) -> dict[str, Any]:
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

"""One HTTP exchange: what the edge knows of it and the code below may ask."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from answerbox.service.caller import ANYBODY, Caller

T = TypeVar("T")


class ClientGone(Exception):
    """The client has hung up; nobody is left to be told."""


@dataclass
class Exchange:
    """`timeout_s` is counted from when the request began; `tokens` is what its answer has cost."""

    request_id: str
    path: str
    timeout_s: float
    caller: Caller = ANYBODY
    tokens: int = 0
    began: float = field(default_factory=time.monotonic)
    path_values: dict[str, str] = field(default_factory=dict)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.began + self.timeout_s - time.monotonic())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when the client hangs up: BentoML would let it run on.

        Raises:
            ClientGone
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.disconnected.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return task.result()
        finally:
            for pending in (task, gone):
                pending.cancel()
            with contextlib.suppress(BaseException):
                await task


current: ContextVar[Exchange] = ContextVar("exchange")

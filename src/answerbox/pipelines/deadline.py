"""The time that is left for a request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from answerbox.errors import DeadlineExceeded

T = TypeVar("T")


class Deadline:
    def __init__(self, seconds: float, began: float | None = None) -> None:
        """`began` is a time of `time.monotonic`; now without one."""
        self.seconds = seconds
        self._end = (time.monotonic() if began is None else began) + seconds

    def remaining(self) -> float:
        """Seconds left; 0 when the time is up."""
        return max(0.0, self._end - time.monotonic())

    async def run(self, work: Awaitable[T], grace_s: float = 0.0) -> T:
        """The result of `work`, which is cancelled when the time is up, or so much later.

        Raises:
            DeadlineExceeded
        """
        try:
            async with asyncio.timeout(self.remaining() + grace_s) as scope:
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
            raise self.exceeded() from None

    def exceeded(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"There was no answer within {self.seconds:g} seconds.",
            hint="Ask for fewer tokens, or try again when the service is less busy.",
        )

"""Many calls of Langfuse's API, a few at a time: again where it may help, and no sooner than Langfuse says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from answerbox.adapters.langfuse_client import TIMEOUT_S, asking
from answerbox.errors import AnswerboxError, RateLimited, SetupError, Unavailable
from answerbox.retrying import RetryBudget, retrying

AT_A_TIME = 4
LONGEST_PAUSE_S = 60.0
MAY_PASS = (408, 429)

T = TypeVar("T")
Call = Callable[[], Awaitable[T]]


class PatientCalls:
    """Only for calls of which two are the same as one. Made and used in one event loop."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._budget = RetryBudget()
        self._line = asyncio.Semaphore(AT_A_TIME)
        self._not_before = 0.0

    async def once(self, call: Call[T]) -> T:
        """Raises: SetupError where keys or address are wrong, and as `asking` does."""
        try:
            async with asking(self._timeout_s):
                return await call()
        except Unavailable as exc:
            raise judged(exc) from None

    async def asked(self, call: Call[T]) -> T:
        """Again where Langfuse was away or busy. Raises as `once` does, and RateLimited for a long wait."""
        return await self.again(lambda: self.once(call))

    async def again(self, step: Call[T]) -> T:
        """The same for what has a bound on its time and errors like these by itself."""
        async for attempt in retrying(self._budget):
            with attempt:
                return await self._in_turn(step)
        raise AssertionError("it ends with a result or an error")

    async def _in_turn(self, step: Call[T]) -> T:
        clock = asyncio.get_running_loop().time
        async with self._line:
            await asyncio.sleep(max(0.0, self._not_before - clock()))
            try:
                return await step()
            except Unavailable as exc:
                wait_s = exc.extra.get("retry_after_s", 0.0)
                if wait_s > LONGEST_PAUSE_S:
                    raise RateLimited(f"{exc.message} It asks to wait {wait_s:.0f} s.") from None
                self._not_before = max(self._not_before, clock() + wait_s)
                raise


async def together(steps: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; the first failure ends the others."""
    tasks = [asyncio.ensure_future(step) for step in steps]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def judged(exc: AnswerboxError) -> AnswerboxError:
    """What no waiting helps against is a matter of the settings."""
    status = exc.extra.get("status")
    if not isinstance(exc, Unavailable) or status is None or status in MAY_PASS or status >= 500:
        return exc
    return SetupError(exc.message, hint=exc.hint)

"""Counting what a key uses, with `limits`: in this process, or in Redis for all replicas."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

T = TypeVar("T")

log = logging.getLogger(__name__)

QUIET_S = 60.0
"""Between two lines in the log about a store that cannot be reached."""


@dataclass(frozen=True)
class Window:
    """What is left of a bound, and in how many seconds it is whole again."""

    limit: int
    remaining: int
    reset_s: int


class RateLimits:
    """While Redis cannot be reached, each process counts by itself."""

    def __init__(self, url: str) -> None:
        self._shared = _Counters(_storage(url))
        self._own = _Counters(MemoryStorage())
        self._told = float("-inf")

    async def request(self, key: str, per_minute: int) -> tuple[bool, Window]:
        """Counts a request, unless there were too many; whether it may go on."""
        item = RateLimitItemPerMinute(per_minute)
        return await self._counted(lambda counters: counters.request(item, key))

    async def tokens_left(self, key: str, per_day: int) -> Window:
        item = RateLimitItemPerDay(per_day)
        return await self._counted(lambda counters: counters.left(item, key))

    async def spend(self, key: str, per_day: int, tokens: int) -> None:
        """Counts tokens, also beyond the bound."""
        item = RateLimitItemPerDay(per_day)
        await self._counted(lambda counters: counters.spend(item, key, tokens))

    async def _counted(self, work: Callable[[_Counters], Awaitable[T]]) -> T:
        try:
            return await work(self._shared)
        except StorageError as exc:
            self._tell(exc)
            return await work(self._own)

    def _tell(self, exc: StorageError) -> None:
        if time.monotonic() - self._told > QUIET_S:
            self._told = time.monotonic()
            log.warning("rates are counted by each process alone: %s", exc.storage_error)


class _Counters:
    def __init__(self, storage: Storage) -> None:
        self._minute = SlidingWindowCounterRateLimiter(storage)
        self._day = FixedWindowRateLimiter(storage)

    async def request(self, item: RateLimitItem, key: str) -> tuple[bool, Window]:
        allowed = await self._minute.hit(item, key)
        return allowed, await _window(self._minute, item, key)

    async def left(self, item: RateLimitItem, key: str) -> Window:
        return await _window(self._day, item, key)

    async def spend(self, item: RateLimitItem, key: str, tokens: int) -> None:
        await self._day.hit(item, key, cost=tokens)


async def _window(limiter: RateLimiter, item: RateLimitItem, key: str) -> Window:
    found = await limiter.get_window_stats(item, key)
    wait = max(1, math.ceil(found.reset_time - time.time()))
    return Window(item.amount, max(0, found.remaining), wait)


def _storage(url: str) -> Storage:
    if url.startswith("memory"):
        return MemoryStorage()
    found = storage_from_string(f"async+{url}", implementation="redispy", wrap_exceptions=True)
    assert isinstance(found, Storage)
    return found

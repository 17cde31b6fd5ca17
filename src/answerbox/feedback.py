"""What users say of answers: kept first, then sent to where the traces are, as soon as that takes it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from answerbox.errors import AnswerboxError, InvalidRequest

log = logging.getLogger(__name__)

NAME = "user-feedback"
"""Of the score that feedback becomes."""
AT_ONCE = 8
"""Sent at the same time, each by itself, so that one which fails holds up no other."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
LONGEST_TOLD_S = 3_600.0
"""A `Retry-After` beyond it is not believed."""
LOG_EVERY_S = 60.0


@dataclass(frozen=True)
class Feedback:
    """`score`: from -1 (bad) to 1 (good). `given_at`: seconds since 1970."""

    trace_id: str
    score: float
    comment: str | None = None
    user_id: str | None = None
    given_at: float = field(default_factory=time.time)

    @property
    def score_id(self) -> str:
        """One for all that a user says of a trace, so that the later word replaces the former."""
        named = "\0".join((self.trace_id, self.user_id or "", NAME))
        return hashlib.sha256(named.encode()).hexdigest()[:32]


class FeedbackStore(Protocol):
    """Blocking; safe to call from several threads. Every method raises IndexUnavailable where it cannot be used."""

    def put(self, feedback: Feedback) -> int:
        """Keeps it, in the place of an earlier one of the same `score_id`, and with the `given_at` of that.

        What says nothing new is not sent again. How many were dropped unsent, for want of room.
        """
        ...

    def waiting(self, limit: int) -> list[tuple[int, Feedback]]:
        """Those that are to be sent, oldest first, each with a number for `settle`."""
        ...

    def settle(self, numbers: Sequence[int], *, refused: bool = False) -> None:
        """These are not sent again. One that has been replaced meanwhile is none of these."""
        ...

    def close(self) -> None: ...


class FeedbackSink(Protocol):
    async def send(self, feedback: Feedback) -> None:
        """Returns once it has been taken. A repeated call changes nothing.

        Raises:
            InvalidRequest: it will never be taken.
            Unavailable: it may be taken later; `extra["retry_after_s"]` says when, if that is known.
        """
        ...

    async def close(self) -> None: ...


class FeedbackDesk:
    """Takes feedback in and sends it on. Without a sink it is kept for a start that has one.

    `pause` waits for so many seconds.
    """

    def __init__(
        self,
        store: FeedbackStore,
        sink: FeedbackSink | None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._sink = sink
        self._pause = pause
        self._given = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._dropped = 0
        self._tells_of_dropped = _Seldom()
        self._tells_of_failures = _Seldom()

    def start(self) -> None:
        if self._sink:
            self._sending = asyncio.create_task(self._send_for_ever(self._sink))

    async def stop(self) -> None:
        """What has not been sent is sent after the next start."""
        if self._sending:
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending
        if self._sink:
            await self._sink.close()
        await asyncio.to_thread(self._store.close)

    async def add(self, feedback: Feedback) -> None:
        """Once this returns, a crash does not lose it. Raises: IndexUnavailable."""
        self._dropped += await asyncio.to_thread(self._store.put, feedback)
        self._given.set()
        if self._dropped and self._tells_of_dropped():
            log.warning("so much feedback waits to be sent that the %d oldest were dropped", self._dropped)
            self._dropped = 0

    async def _send_for_ever(self, sink: FeedbackSink) -> None:
        failures = 0
        while True:
            self._given.clear()
            try:
                waiting = await asyncio.to_thread(self._store.waiting, AT_ONCE)
                if not waiting:
                    await self._given.wait()
                    continue
                failed = await self._send(sink, waiting)
                if len(failed) < len(waiting):
                    failures = 0
            except Exception as exc:  # of the store
                failed = [exc]
            if failed:
                failures += 1
                self._tell(failed[0])
                await self._pause(max(_pause_s(exc, failures) for exc in failed))

    async def _send(self, sink: FeedbackSink, waiting: Sequence[tuple[int, Feedback]]) -> list[Exception]:
        """The failures of those that are still to be sent."""
        ends = await asyncio.gather(*(_sent(sink, feedback) for _, feedback in waiting))
        taken, refused, failed = [], [], []
        for (number, feedback), end in zip(waiting, ends, strict=True):
            if end is None:
                taken.append(number)
            elif isinstance(end, InvalidRequest):
                refused.append(number)
                log.warning("the feedback %s is not sent again: %s", feedback.score_id, end)
            else:
                failed.append(end)
        if taken:
            await asyncio.to_thread(self._store.settle, taken)
        if refused:
            await asyncio.to_thread(self._store.settle, refused, refused=True)
        return failed

    def _tell(self, exc: Exception) -> None:
        if self._tells_of_failures():
            unforeseen = None if isinstance(exc, AnswerboxError) else exc
            log.warning("feedback waits to be sent: %s", exc, exc_info=unforeseen)


class _Seldom:
    """Called before each line of a kind: whether it may be logged."""

    def __init__(self) -> None:
        self._last = -LOG_EVERY_S

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self._last < LOG_EVERY_S:
            return False
        self._last = now
        return True


async def _sent(sink: FeedbackSink, feedback: Feedback) -> Exception | None:
    """Why it was not."""
    try:
        await sink.send(feedback)
    except Exception as exc:
        return exc
    return None


def _pause_s(exc: Exception, failures: int) -> float:
    """After so many failures in a row: exponential, with jitter, and no shorter than the other side says."""
    told: float = exc.extra.get("retry_after_s", 0.0) if isinstance(exc, AnswerboxError) else 0.0
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10))
    return max(min(told, LONGEST_TOLD_S), longest * random.uniform(0.5, 1.0))

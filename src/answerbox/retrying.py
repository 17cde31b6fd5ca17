"""How an idempotent step is done again where a part was unavailable: exponential backoff with full jitter.

A part that fails everybody must not get three times the calls just then, so what is done again has a budget.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.stop import stop_base

from answerbox.errors import AnswerboxError, Unavailable

ATTEMPTS = 3
SHARE = 0.1
"""Of the calls, as many may be done again ..."""
AT_ONCE = 10.0
"""... and so many beyond, saved up in better times."""
BACKOFF = wait_random_exponential(multiplier=0.1, max=1.0)

watchers: list[Callable[[BaseException], None]] = []
"""Told of each failure after which a step is done again."""


class RetryBudget(stop_base):
    """What may be done again of the calls of one part; each process has its own.

    The idea is Finagle's: https://twitter.github.io/finagle/guide/Clients.html#retries
    """

    def __init__(self, share: float = SHARE, at_once: float = AT_ONCE) -> None:
        self._share = share
        self._at_once = at_once
        self._left = at_once

    def called(self) -> None:
        """A call is made for the first time, which earns a share of another."""
        self._left = min(self._at_once, self._left + self._share)

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002
        """Takes one from what is left; whether there was none, so that tenacity stops."""
        if self._left < 1:
            return True
        self._left -= 1
        return False


def retrying(
    budget: RetryBudget,
    errors: tuple[type[Exception], ...] = (Unavailable,),
    within_s: float = math.inf,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    patience_s: float = 0.0,
) -> AsyncRetrying:
    """For `async for attempt in retrying(budget)`; raises the last of `errors` that it got.

    For the first `patience_s` seconds a step is done again however often it fails, for its part is being restarted.
    """
    return AsyncRetrying(**rules(budget, errors, within_s, patience_s), wait=BACKOFF, sleep=pause)


def rules(
    budget: RetryBudget, errors: tuple[type[Exception], ...], within_s: float, patience_s: float = 0.0
) -> dict[str, Any]:
    """When tenacity's `Retrying` and `AsyncRetrying` do a step again; how long they wait is left to the caller."""
    budget.called()
    return {
        "retry": retry_if_exception_type(errors),
        "stop": stop_before_delay(within_s) | stop_after_delay(patience_s) & (stop_after_attempt(ATTEMPTS) | budget),
        "before_sleep": _tell,
        "reraise": True,
    }


def as_told(retry_state: RetryCallState) -> float:
    """Seconds to wait: what the failure says in `extra["retry_after_s"]`, and no less than `BACKOFF`."""
    failure = retry_state.outcome.exception() if retry_state.outcome else None
    told = failure.extra.get("retry_after_s", 0) if isinstance(failure, AnswerboxError) else 0
    return max(float(told), BACKOFF(retry_state))


def _tell(retry_state: RetryCallState) -> None:
    failure = retry_state.outcome.exception() if retry_state.outcome else None
    if failure is None:
        return
    for watcher in watchers:
        watcher(failure)

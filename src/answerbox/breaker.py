"""A circuit breaker: a part that keeps failing is left alone for a while, so that nobody waits for it in vain.

Of our own, because a call that is cancelled (its client has gone) tells nothing of the part, and because after the
rest a single call tries it, not all that are there; the packages that we looked at have neither.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from answerbox.errors import AnswerboxError, DeadlineExceeded, NotReady, Overloaded, Unavailable, from_wire

FAILURES = 3
"""In a row; then the part rests."""
REST_S = 5.0

watchers: list[Callable[[str, bool], None]] = []
"""Told at each change the code of the part's failure, and whether the part rests from now on or works again."""


def _always(_: Unavailable) -> bool:
    return True


class Breaker:
    """`counts` says which failures are the part's own; one request that it refuses is not."""

    def __init__(
        self,
        failures: int = FAILURES,
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
        counts: Callable[[Unavailable], bool] = _always,
    ) -> None:
        self._failures = failures
        self._rest_s = rest_s
        self._clock = clock
        self._counts = counts
        self._in_a_row = 0
        self._rests_until = 0.0
        self._trying = False
        self._last: Unavailable | None = None
        self._told: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, or would be but for the one that tries."""
        return self._in_a_row >= self._failures

    @contextmanager
    def around(self) -> Iterator[None]:
        """Around a call of the part. Raises: the last failure again, while the part rests."""
        tries = self.is_open
        if tries:
            self._refuse_while_resting()
            self._trying = True
        try:
            yield
        except Unavailable as exc:
            if not isinstance(exc, NotReady | Overloaded) and self._counts(exc):  # else it works, and says so
                self._failed(exc)
            raise
        except DeadlineExceeded:  # of a request; tells nothing of the part
            raise
        except AnswerboxError:
            self._worked()
            raise
        else:
            self._worked()
        finally:
            if tries:
                self._trying = False

    def _refuse_while_resting(self) -> None:
        left = self._rests_until - self._clock()
        if left > 0 or self._trying:
            assert self._last
            again = {**self._last.to_wire(), "extra": {"retry_after_s": max(1, math.ceil(left))}}
            raise from_wire(again)

    def _failed(self, exc: Unavailable) -> None:
        self._in_a_row += 1
        self._last = exc
        self._rests_until = self._clock() + self._rest_s
        if self.is_open and self._told is None:
            self._told = exc.code
            _tell(exc.code, True)

    def _worked(self) -> None:
        self._in_a_row = 0
        if self._told is not None:
            _tell(self._told, False)
            self._told = None


def _tell(code: str, rests: bool) -> None:
    for watcher in watchers:
        watcher(code, rests)

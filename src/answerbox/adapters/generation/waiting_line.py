"""Who is next: a bounded line, fair between users, measured in tokens of work.

Fairness is start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996) with equal weights: the user who has been
served least is next. The bound is a dynamic threshold (Choudhury, Hahne, IEEE/ACM ToN 1998): a user's own backlog
may be as long as what is still free, so that one flood never takes the room that others need.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from answerbox.errors import Overloaded


class Waiting(Protocol):
    @property
    def user(self) -> str: ...
    @property
    def cost(self) -> float:
        """Tokens of work."""
        ...


W = TypeVar("W", bound=Waiting)


@dataclass
class Rate:
    """Tokens of work a second while somebody waits, forgetting slowly. Only then is the engine as fast as it can."""

    memory_s: float = 20.0
    enough_s: float = 1.0
    _work: float = 0.0
    _time: float = 0.0

    def add(self, work: float, seconds: float) -> None:
        keep = math.exp(-seconds / self.memory_s)
        self._work = self._work * keep + work
        self._time = self._time * keep + seconds

    @property
    def value(self) -> float | None:
        """None until it has been measured for long enough."""
        return self._work / self._time if self._time >= self.enough_s and self._work else None


class WaitingLine(Generic[W]):
    """Not safe for threads; the caller locks."""

    def __init__(self, capacity: float, longest_wait_s: float) -> None:
        self._capacity = capacity
        self._longest_wait_s = longest_wait_s
        self._lines: dict[str, deque[W]] = {}
        self._backlog: dict[str, float] = {}
        self._served: dict[str, float] = {}
        self._now = 0.0
        self.rate = Rate()

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    @property
    def tokens(self) -> float:
        return sum(self._backlog.values())

    def check(self, user: str, cost: float, timeout_s: float | None) -> None:
        """Whether work of that cost may wait.

        Raises:
            Overloaded: the line is full, or the work would not start in time.
        """
        own = self._backlog.get(user, 0.0)
        free = self._capacity - self.tokens
        if own and own + cost > free:
            raise self._overloaded("Too much work is waiting", max(cost, own + cost - free))
        if cost > free:
            raise self._overloaded("Too much work is waiting", cost - free)
        limit_s = min(self._longest_wait_s, timeout_s or math.inf)
        wait_s = self._ahead(own) / self.rate.value if self.rate.value else 0.0
        if wait_s > limit_s:
            raise self._overloaded(
                f"The work would have to wait {wait_s:.0f} seconds", (wait_s - limit_s) * (self.rate.value or 0)
            )

    def enter(self, work: W, timeout_s: float | None) -> None:
        """At the end of its user's line. Raises: Overloaded."""
        self.check(work.user, work.cost, timeout_s)
        if work.user not in self._lines:
            self._lines[work.user] = deque()
            self._backlog[work.user] = 0.0
            self._served[work.user] = self._now
        self._lines[work.user].append(work)
        self._backlog[work.user] += work.cost

    def take(self, fits: Callable[[W], bool]) -> W | None:
        """The next, if it fits; nobody overtakes one that does not."""
        if not self._lines:
            return None
        user = min(self._served, key=self._served.__getitem__)
        work = self._lines[user][0]
        if not fits(work):
            return None
        self._now = self._served[user]
        self._served[user] += work.cost
        self.leave(work)
        return work

    def leave(self, work: W) -> bool:
        """Whether it was there."""
        line = self._lines.get(work.user)
        if line is None or work not in line:
            return False
        line.remove(work)
        self._backlog[work.user] -= work.cost
        if not line:
            del self._lines[work.user], self._backlog[work.user], self._served[work.user]
        return True

    def everyone(self) -> list[W]:
        return [work for line in self._lines.values() for work in line]

    def _ahead(self, own: float) -> float:
        """Work that is done before a new one of a user with that backlog: others are served no further than him."""
        return sum(min(backlog, own) for backlog in self._backlog.values())

    def _overloaded(self, why: str, excess: float) -> Overloaded:
        seconds = max(1, math.ceil(excess / self.rate.value)) if self.rate.value else 1
        return Overloaded(
            f"{why}; the service takes no more of it now.",
            hint=f"Try again in {seconds} s.",
            extra={"retry_after_s": seconds, "waiting": len(self), "waiting_tokens": round(self.tokens)},
        )

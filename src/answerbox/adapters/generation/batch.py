"""What runs in the engine now, who joins next, and who is to blame when a step fails."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Literal

from answerbox.adapters.generation.engine import Add, Cancel, EngineInfo, Failed, Made, Ready
from answerbox.adapters.generation.waiting_line import WaitingLine
from answerbox.adapters.generation.work import READING_COST, Work

log = logging.getLogger(__name__)

PROBATION_TOKENS = 4
"""A suspect that has made so many tokens since the failure is not the reason of it."""
MAX_STRIKES = 3


class Batch:
    """Not safe for threads; the caller locks.

    After a failed step all that ran is suspect and joins again, one at a time: when a step fails while one is on
    probation, that one is the reason and fails alone. After a step that did not fit into memory nobody is to blame;
    the batch is made half as large.
    """

    def __init__(self, info: EngineInfo, line: WaitingLine[Work]) -> None:
        self.info = info
        self.rows = info.rows
        self.running: dict[int, Work] = {}
        self.again: deque[Work] = deque()
        self._line = line
        self._epoch = 0
        self._tokens = 0
        self._on_probation: Work | None = None

    @property
    def tokens(self) -> int:
        """That the engine's memory is kept free for, of `info.tokens`."""
        return self._tokens

    def fill(self) -> Add | None:
        """Takes in who fits; what the engine is to be told."""
        joining: list[Work] = []
        while work := self._next():
            self.running[work.id] = work
            work.joined = work.joined or time.monotonic()
            self._tokens += work.size
            joining.append(work)
        for work in self.running.values():
            work.batch = max(work.batch, len(self.running))
        return Add(self._epoch, [work.row() for work in joining]) if joining else None

    def remove(self, work: Work) -> Literal["running", "again"] | None:
        """Where it was."""
        if work in self.again:
            self.again.remove(work)
            return "again"
        if self.running.pop(work.id, None) is None:
            return None
        self._tokens -= work.size
        if work is self._on_probation:
            self._on_probation = None
        return "running"

    @staticmethod
    def cancel(work: Work) -> Cancel:
        return Cancel(work.id)

    def credit(self, work: Work, made: Made) -> float:
        """Tokens of work that this report completes. Answers that end early complete what they did not need."""
        done = float(len(made.tokens))
        if not work.made:
            done += len(work.prompt) * READING_COST
        if made.ended:
            done += max(0, work.max_tokens - len(work.made) - len(made.tokens))
        work.since_failure += len(made.tokens)
        if work is self._on_probation and work.since_failure >= PROBATION_TOKENS:
            work.suspect, self._on_probation = False, None
        return done

    def fail(self, failed: Failed | None) -> list[Work]:
        """After a failed step, or (None) the end of the engine: everything is out. Who will not be tried again."""
        if failed:
            self._epoch = failed.epoch
        memory = failed is not None and failed.out_of_memory
        if memory:
            self.rows = max(1, len(self.running) // 2)
            log.warning("out of memory with %d rows; from now on at most %d", len(self.running), self.rows)
        given_up = []
        for work in reversed(self.running.values()):
            work.strikes += self._on_probation is None
            work.since_failure = 0
            work.suspect = not memory
            to_blame = work is self._on_probation or (memory and len(self.running) == 1)
            if to_blame or work.strikes >= MAX_STRIKES:
                given_up.append(work)
            else:
                self.again.appendleft(work)
        self.running.clear()
        self._tokens, self._on_probation = 0, None
        return given_up

    def renew(self, ready: Ready) -> None:
        """A new engine has taken the place of the old one."""
        self.info = ready.info
        self.rows = min(self.rows, ready.info.rows)
        self._epoch = 0

    def _next(self) -> Work | None:
        if self._on_probation:
            return None
        if not self.again:
            return self._line.take(self._fits)
        if not self._fits(self.again[0]):
            return None
        work = self.again.popleft()
        if work.suspect:
            self._on_probation = work
        return work

    def _fits(self, work: Work) -> bool:
        if not self.running:
            return True
        return len(self.running) < self.rows and self._tokens + work.size <= self.info.tokens

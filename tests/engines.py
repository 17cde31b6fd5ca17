"""Engines that fail on purpose. They run in a process of their own, which imports this module."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal

from answerbox.adapters.fakes import FakeEngine
from answerbox.adapters.generation.engine import Engine, Made, OutOfMemory, Row
from answerbox.errors import ModelMissing

POISON = 13
"""A row with this `max_tokens` is the poisoned one."""


class FaultyEngine(FakeEngine):
    """The fake, but a step fails: with a poisoned row in it, with too many rows, or (`once`) the first time."""

    def __init__(
        self,
        fault: Literal["raise", "die", "hang", "memory"],
        token_delay_s: float = 0.002,
        rows: int = 16,
        most_rows: int | None = None,
        once: Path | None = None,
    ) -> None:
        super().__init__(token_delay_s, rows)
        self._fault = fault
        self._most_rows = most_rows
        self._once = once
        self._poisoned: set[int] = set()

    def add(self, row: Row) -> None:
        super().add(row)
        if row.max_tokens == POISON:
            self._poisoned.add(row.id)

    def step(self) -> list[Made]:
        if self._fails_now():
            if self._fault == "die":
                os._exit(9)
            if self._fault == "hang":
                threading.Event().wait()
            raise OutOfMemory("on purpose") if self._fault == "memory" else RuntimeError("on purpose")
        return super().step()

    def _fails_now(self) -> bool:
        if self._once:
            first = not self._once.exists()
            self._once.touch()
            return first
        if self._most_rows is not None:
            return len(self._left) > self._most_rows
        return bool(self._poisoned & self._left.keys())


def missing() -> Engine:
    raise ModelMissing("There is no such model.", hint="Pull it.")


def broken() -> Engine:
    raise ValueError("a bug in the engine")


def dead() -> Engine:
    os._exit(3)

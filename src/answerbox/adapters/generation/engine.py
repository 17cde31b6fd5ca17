"""What an engine is: rows of token ids go in, tokens come out. It knows nothing of text, users or time.

An engine lives in a process of its own (`host.py`); who implements it: the `*_engine.py` beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol

Ended = Literal["stop", "length", "failed"]


@dataclass(frozen=True)
class Row:
    """One request in the batch. `max_tokens` counts new tokens; temperature 0 is greedy."""

    id: int
    prompt: list[int]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Made:
    """What a step made for one row. With `ended` the row has left; `failed`: alone, the others go on."""

    id: int
    tokens: list[int]
    ended: Ended | None = None


@dataclass(frozen=True)
class EngineInfo:
    """`rows`: how many may run at a time; `tokens`: how many tokens, prompts and answers together, they may have."""

    name: str
    rows: int
    tokens: int


class OutOfMemory(Exception):
    """The step did not fit; fewer rows may."""


class Engine(Protocol):
    """Called by one thread. After an exception of `step` the caller clears the engine, and it must work again."""

    @property
    def info(self) -> EngineInfo: ...

    @property
    def busy(self) -> bool:
        """Whether there is a row to work on."""
        ...

    def add(self, row: Row) -> None:
        """The row takes part from the next step on."""
        ...

    def cancel(self, row_id: int) -> None:
        """The row is gone before the next step; unknown ids are ignored."""
        ...

    def step(self) -> list[Made]:
        """At most a token for each row. Raises: OutOfMemory, or whatever went wrong."""
        ...

    def clear(self) -> None:
        """Drops every row and frees what they held."""
        ...


@dataclass(frozen=True)
class EngineSpec:
    """How to make an engine in another process: `factory` is `module:callable`."""

    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self) -> Engine:
        module, _, name = self.factory.partition(":")
        engine: Engine = getattr(import_module(module), name)(**self.arguments)
        return engine


@dataclass(frozen=True)
class Add:
    """To the host: these rows, if it is still in this epoch (see `Failed`)."""

    epoch: int
    rows: Sequence[Row]


@dataclass(frozen=True)
class Cancel:
    row_id: int


@dataclass(frozen=True)
class Ready:
    """From the host: the engine is loaded and warm."""

    info: EngineInfo


@dataclass(frozen=True)
class Broken:
    """From the host, before it ends: there will be no engine. `wire` is an `AnswerboxError`."""

    wire: dict[str, Any]


@dataclass(frozen=True)
class Failed:
    """From the host: a step failed and every row is gone. What was sent before this was read is of an old epoch."""

    epoch: int
    out_of_memory: bool


Command = Add | Cancel
Report = Ready | Broken | Failed | list[Made]

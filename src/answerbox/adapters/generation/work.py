"""One generation on its way: what was asked, what has been made, and who listens."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from answerbox.adapters.generation.detokenizer import Detokenizer
from answerbox.adapters.generation.engine import Row
from answerbox.adapters.generation.stop_strings import StopStrings
from answerbox.errors import AnswerboxError
from answerbox.ports import Finish, GenerationRequest, Piece

READING_COST = 1 / 8
"""Tokens of work in a token that is only read. Measured on the embedded model: reading is 5 to 15 times faster."""

Item = Piece | Finish | AnswerboxError
Reason = Literal["stop", "length", "deadline", "cancelled"]


@dataclass(eq=False)
class Work:
    """`joined`, `first`: when it joined the batch and when its first token was made, by `time.monotonic`.

    `batch`: rows of the batch, at most. `suspect`: it took part in a step that failed, and has not yet shown that it is
    not the reason.
    """

    id: int
    request: GenerationRequest
    prompt: list[int]
    max_tokens: int
    text: AnswerText
    listener: Listener
    made: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    joined: float | None = None
    first: float | None = None
    batch: int = 0
    suspect: bool = False
    strikes: int = 0
    since_failure: int = 0

    @property
    def user(self) -> str:
        return self.request.user_id or ""

    @property
    def size(self) -> int:
        """Most tokens that it holds in the engine's memory."""
        return len(self.prompt) + self.max_tokens

    @property
    def cost(self) -> float:
        return self.max_tokens + len(self.prompt) * READING_COST

    @property
    def overdue(self) -> bool:
        timeout_s = self.request.timeout_s
        return timeout_s is not None and time.monotonic() - self.began >= timeout_s

    def row(self) -> Row:
        """What is still to be made: after a failure the engine reads its own words again."""
        asked = self.request
        left = self.max_tokens - len(self.made)
        return Row(self.id, self.prompt + self.made, left, asked.temperature, asked.top_p, asked.seed)

    def finish(self, reason: Reason) -> Finish:
        return Finish(reason, len(self.prompt), len(self.made), self._detail())

    def _detail(self) -> dict[str, float]:
        times = {"queue_ms": self.joined, "first_token_ms": self.first}
        taken = {name: round((then - self.began) * 1000, 1) for name, then in times.items() if then is not None}
        return {**taken, "batch": self.batch}


class AnswerText:
    """From tokens to the text that may be shown."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(decode)
        self._stops = StopStrings(stops)

    @property
    def stopped(self) -> bool:
        return self._stops.hit

    def add(self, tokens: Sequence[int]) -> str:
        return "".join(self._stops.add(self._detokenizer.add(token)) for token in tokens)

    def rest(self) -> str:
        return self._stops.add(self._detokenizer.rest()) + self._stops.rest()


class Listener:
    """The caller's end, in the event loop that the caller runs in."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    async def next(self) -> list[Item]:
        """Everything that has arrived, at least one; pieces that follow each other as one."""
        items = [await self._items.get()]
        while not self._items.empty():
            item = self._items.get_nowait()
            if isinstance(item, Piece) and isinstance(items[-1], Piece):
                items[-1] = Piece(items[-1].text + item.text)
            else:
                items.append(item)
        return items

    def put(self, item: Item) -> None:
        self._items.put_nowait(item)


class Post:
    """Items on their way out: one call into each event loop delivers all that a step has made."""

    def __init__(self) -> None:
        self._items: defaultdict[asyncio.AbstractEventLoop, list[tuple[Listener, Item]]] = defaultdict(list)

    def add(self, work: Work, item: Item) -> None:
        self._items[work.listener.loop].append((work.listener, item))

    def send(self) -> None:
        for loop, letters in self._items.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(_put_all, letters)
        self._items.clear()


def _put_all(letters: list[tuple[Listener, Item]]) -> None:
    for listener, item in letters:
        listener.put(item)

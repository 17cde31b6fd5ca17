"""Deterministic doubles that need no model; chosen by the model name `fake`.

`FakeEngine` repeats the last message word by word: a token is a word, which `FakeTokenizer` numbers. They stand in
for a model and its tokenizer only; the line, the batch and the process around them are the real ones.
`FakeEmbedder` counts words, so that texts that share words are near.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Sequence

from answerbox.adapters.generation.engine import EngineInfo, Made, Row
from answerbox.ports import EmbedderInfo, GeneratorInfo, Message, TextKind, Vector, Vectors
from answerbox.text import terms
from answerbox.tools import ToolSpec

FAKE_GENERATOR = GeneratorInfo(model="fake", context_tokens=8_000)
DIMENSION = 64
NEXT_MESSAGE, NOW_SPEAK = 0, 1


class FakeTokenizer:
    """Numbers words in the order in which it meets them."""

    ends: frozenset[int] = frozenset()

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._words: dict[int, str] = {NEXT_MESSAGE: "", NOW_SPEAK: ""}
        self._free = itertools.count(2)

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> list[int]:  # noqa: ARG002
        ids = [id_ for message in messages for id_ in (NEXT_MESSAGE, *map(self._number, message.content.split()))]
        return [*ids, NOW_SPEAK]

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(word for id_ in ids if (word := self._words[id_]))

    def _number(self, word: str) -> int:
        number = self._numbers.setdefault(word, next(self._free))
        self._words[number] = word
        return number


class FakeEngine:
    """Says the last message again, a word a step; `token_delay_s` is the time of a step."""

    def __init__(self, token_delay_s: float = 0.0, rows: int = 16, tokens: int = 200_000) -> None:
        self.info = EngineInfo("fake", rows, tokens)
        self._token_delay_s = token_delay_s
        self._left: dict[int, tuple[list[int], int]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._left)

    def add(self, row: Row) -> None:
        speak = row.prompt.index(NOW_SPEAK)
        message = speak - row.prompt[:speak][::-1].index(NEXT_MESSAGE)
        said = len(row.prompt) - speak - 1
        self._left[row.id] = row.prompt[message + said : speak], row.max_tokens

    def cancel(self, row_id: int) -> None:
        self._left.pop(row_id, None)

    def step(self) -> list[Made]:
        time.sleep(self._token_delay_s)
        return [self._say(row_id) for row_id in list(self._left)]

    def clear(self) -> None:
        self._left.clear()

    def _say(self, row_id: int) -> Made:
        words, room = self._left.pop(row_id)
        said, rest = words[:1], words[1:]
        if not rest:
            return Made(row_id, said, "stop")
        if room == 1:
            return Made(row_id, said, "length")
        self._left[row_id] = rest, room - 1
        return Made(row_id, said)


class FakeEmbedder:
    """A word is a token."""

    max_tokens = 512

    async def info(self) -> EmbedderInfo:
        return EmbedderInfo(model="fake", fingerprint="fake-1", dimension=DIMENSION)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        info = await self.info()
        return Vectors(self.encode(info.prefixed(texts, kind)))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        return [_vector(text) for text in texts]


class FakeReranker:
    """Counts the question's words; equal counts prefer the shorter text."""

    def rank(self, question: str, texts: Sequence[str]) -> list[float]:
        wanted = set(terms(question))
        return [len(wanted & set(terms(text))) - len(text) / 1e6 for text in texts]


def _vector(text: str) -> Vector:
    vector = [0.0] * DIMENSION
    for word in terms(text):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSION] += 1.0
    vector[0] += 1e-3  # a text without words has a vector too
    norm = math.sqrt(sum(value * value for value in vector))
    return [value / norm for value in vector]

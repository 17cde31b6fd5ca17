"""Deterministic doubles that need no model; chosen by the model name `fake`.

`FakeGenerator` repeats the last message word by word. `FakeEmbedder` counts words, so that texts that share words
are near.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncGenerator, Sequence

from answerbox.errors import PromptTooLong
from answerbox.ports import (
    EmbedderInfo,
    Finish,
    GenerationRequest,
    GeneratorInfo,
    Piece,
    TextKind,
    Vector,
)
from answerbox.text import terms

CONTEXT_TOKENS = 8_000
DIMENSION = 64


class FakeGenerator:
    """A token is a word. `generated` counts the words made in this process, also those nobody read."""

    def __init__(self, token_delay_s: float = 0.0) -> None:
        self._token_delay_s = token_delay_s
        self.generated = 0

    async def info(self) -> GeneratorInfo:
        return GeneratorInfo(model="fake", context_tokens=CONTEXT_TOKENS)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        prompt = sum(len(message.content.split()) for message in request.messages)
        if prompt >= CONTEXT_TOKENS:
            raise PromptTooLong(
                f"The prompt has {prompt} tokens; the model takes {CONTEXT_TOKENS}.",
                extra={"prompt_tokens": prompt, "limit": CONTEXT_TOKENS},
            )
        words = request.messages[-1].content.split()
        for number, word in enumerate(words[: request.max_tokens]):
            await asyncio.sleep(self._token_delay_s)
            self.generated += 1
            yield Piece(word if number == 0 else " " + word)
        done = min(len(words), request.max_tokens)
        yield Finish("length" if done < len(words) else "stop", prompt, done)


class FakeEmbedder:
    async def info(self) -> EmbedderInfo:
        return EmbedderInfo(model="fake", fingerprint="fake-1", dimension=DIMENSION)

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        info = await self.info()
        return self.encode(info.prefixed(texts, kind))

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        return [_vector(text) for text in texts]


def _vector(text: str) -> Vector:
    vector = [0.0] * DIMENSION
    for word in terms(text):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSION] += 1.0
    vector[0] += 1e-3  # a text without words has a vector too
    norm = math.sqrt(sum(value * value for value in vector))
    return [value / norm for value in vector]

"""Vectors of texts, for whoever keeps documents elsewhere."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, Protocol

import numpy as np

from answerbox.errors import PromptTooLong
from answerbox.ports import Embedder, TextKind, Vector
from answerbox.service.openai_contract import EmbeddingList, EmbeddingRow, EmbeddingsBody, EmbeddingsUsage

AT_A_TIME = 32
"""Texts of one request that may be in a batch, so that questions find room in it."""


class MeasuringEmbedder(Embedder, Protocol):
    async def measure(self, texts: list[str], kind: TextKind) -> tuple[list[int], int]: ...


async def embeddings(body: EmbeddingsBody, embedder: MeasuringEmbedder) -> EmbeddingList:
    """Raises: PromptTooLong, EmbedderUnavailable."""
    kind: TextKind = body.input_type or "passage"
    tokens, most = await embedder.measure(body.input, kind)
    _check_lengths(tokens, most)
    vectors: list[Vector] = []
    for start in range(0, len(body.input), AT_A_TIME):
        vectors += await embedder.embed(body.input[start : start + AT_A_TIME], kind)
    in_base64 = body.encoding_format == "base64"
    rows = await asyncio.to_thread(_rows, vectors, in_base64)
    usage = EmbeddingsUsage(prompt_tokens=sum(tokens), total_tokens=sum(tokens))
    return EmbeddingList(data=rows, model=body.model, usage=usage)


def _check_lengths(tokens: list[int], most: int) -> None:
    """The model would cut a longer text, and its vector would not tell."""
    for place, actual in enumerate(tokens):
        if actual > most:
            raise PromptTooLong(
                f"A text has {actual} tokens, and the model reads {most}.",
                hint="Send it in shorter pieces.",
                errors=[{"field": f"input.{place}", "message": f"at most {most} tokens"}],
                extra={"prompt_tokens": actual, "limit": most},
            )


def _rows(vectors: list[Vector], in_base64: bool) -> list[EmbeddingRow]:
    shown: list[Any] = [_packed(vector) for vector in vectors] if in_base64 else vectors
    return [EmbeddingRow(index=place, embedding=one) for place, one in enumerate(shown)]


def _packed(vector: Vector) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode("ascii")

"""Sentence embeddings in this process, as sentence-transformers makes them: tokenize, run, pool, normalise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from answerbox.adapters.gpu import has_gpu
from answerbox.adapters.model_store import StoredModel
from answerbox.adapters.token_length import token_length
from answerbox.ports import EmbedderInfo, TextKind, Vector, Vectors

SUB_BATCH = 16
"""Texts of like length that run together; more costs padding, less costs overhead."""


class SentenceModel(Protocol):
    """What turns texts into vectors: one for each kind of hardware. Not safe for threads."""

    dimension: int

    def hidden(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """The last layer, (texts, tokens, dimension), and the mask of the tokens that are no padding, both float32."""
        ...


class LocalEmbedder:
    def __init__(self, stored: StoredModel, model: SentenceModel) -> None:
        metadata = stored.metadata
        self._model = model
        self._pooling = str(metadata.get("pooling", "mean"))
        self._one_at_a_time = threading.Lock()
        self._length = token_length(stored, with_special=True)
        self.max_tokens = int(metadata.get("max_tokens", 512))
        self._info = EmbedderInfo(
            model=stored.tag,
            fingerprint=str(metadata["sha256"]),
            dimension=model.dimension,
            languages=tuple(metadata.get("languages", ())),
            query_prefix=str(metadata.get("query_prefix", "")),
            passage_prefix=str(metadata.get("passage_prefix", "")),
        )

    async def info(self) -> EmbedderInfo:
        return self._info

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        return Vectors(await asyncio.to_thread(self.encode, self._info.prefixed(texts, kind)))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """In tokens, of the texts as they are. Blocking."""
        return [self._length(text) for text in texts]

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        """Unit vectors of the texts as they are, in order. Blocking. Those longer than `max_tokens` are cut."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: list[Vector] = [[] for _ in texts]
        with self._one_at_a_time:
            for start in range(0, len(order), SUB_BATCH):
                places = order[start : start + SUB_BATCH]
                for place, vector in zip(places, self._run([texts[p] for p in places]), strict=True):
                    vectors[place] = vector
        return vectors

    def _run(self, texts: list[str]) -> list[Vector]:
        hidden, mask = self._model.hidden(texts)
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            pooled = np.einsum("btd,bt->bd", hidden, mask) / np.maximum(mask.sum(1, keepdims=True), 1e-9)
        rows: list[Vector] = (pooled / np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)).tolist()
        return rows


def load_embedder(stored: StoredModel, device: str) -> LocalEmbedder:
    """On a CPU with OpenVINO where the store has the model in its form, else with torch.

    Raises:
        SetupError: there is no such device.
    """
    if stored.openvino and not has_gpu(device):
        from answerbox.adapters.embedding.openvino_model import OpenVinoModel

        return LocalEmbedder(stored, OpenVinoModel(stored, stored.openvino))
    from answerbox.adapters.embedding.transformers_model import TransformersModel

    return LocalEmbedder(stored, TransformersModel(stored, device))

"""Sentence embeddings with transformers: tokenize, run, pool, normalise (as sentence-transformers does)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import torch
from transformers import AutoModel, AutoTokenizer

from answerbox.adapters.model_store import StoredModel
from answerbox.adapters.torch_device import device_of
from answerbox.ports import EmbedderInfo, TextKind, Vector

SUB_BATCH = 16
"""Texts of like length that run together; more costs padding, less costs overhead."""


class TransformersEmbedder:
    def __init__(self, stored: StoredModel, device: str) -> None:
        metadata = stored.metadata
        self._device = device_of(device)
        self._tokenizer = AutoTokenizer.from_pretrained(stored.path, local_files_only=True)
        model = AutoModel.from_pretrained(
            stored.path, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
        )
        self._model = model.to(self._device).eval()
        self._pooling = str(metadata.get("pooling", "mean"))
        self._max_tokens = int(metadata.get("max_tokens", 512))
        self._one_at_a_time = threading.Lock()
        self._info = EmbedderInfo(
            model=stored.tag,
            fingerprint=str(metadata["sha256"]),
            dimension=int(model.config.hidden_size),
            languages=tuple(metadata.get("languages", ())),
            query_prefix=str(metadata.get("query_prefix", "")),
            passage_prefix=str(metadata.get("passage_prefix", "")),
        )

    async def info(self) -> EmbedderInfo:
        return self._info

    async def embed(self, texts: Sequence[str], kind: TextKind) -> list[Vector]:
        return await asyncio.to_thread(self.encode, self._info.prefixed(texts, kind))

    def encode(self, texts: Sequence[str]) -> list[Vector]:
        """Unit vectors of the texts as they are, in order. Blocking. Longer texts are cut."""
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        vectors: list[Vector] = [[] for _ in texts]
        with self._one_at_a_time, torch.inference_mode():
            for start in range(0, len(order), SUB_BATCH):
                places = order[start : start + SUB_BATCH]
                for place, vector in zip(places, self._run([texts[p] for p in places]), strict=True):
                    vectors[place] = vector
        return vectors

    def _run(self, texts: list[str]) -> list[Vector]:
        inputs = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._device)
        hidden = self._model(**inputs).last_hidden_state
        if self._pooling == "cls":
            pooled = hidden[:, 0]
        else:
            mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        rows: list[Vector] = torch.nn.functional.normalize(pooled, dim=1).cpu().tolist()
        return rows

"""A cross-encoder with transformers: question and passage are read together, one number says how well they fit.

As sentence-transformers' `CrossEncoder`: a sequence classifier with one label, or with the last of its labels as
"relevant".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from answerbox.adapters.model_store import StoredModel
from answerbox.adapters.torch_device import device_of

BATCH = 16


class TransformersReranker:
    def __init__(self, stored: StoredModel, device: str) -> None:
        self._device = device_of(device)
        self._tokenizer = AutoTokenizer.from_pretrained(stored.path, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(
            stored.path, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
        )
        self._model = model.to(self._device).eval()
        self._max_tokens = int(stored.metadata.get("max_tokens", 512))
        self._one_at_a_time = threading.Lock()

    def rank(self, question: str, texts: Sequence[str]) -> list[float]:
        """The logit of each pair, in order. Blocking. Longer passages are cut."""
        scores: list[float] = []
        with self._one_at_a_time, torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                part = list(texts[start : start + BATCH])
                inputs = self._tokenizer(
                    [question] * len(part),
                    part,
                    padding=True,
                    truncation="only_second",
                    max_length=self._max_tokens,
                    return_tensors="pt",
                ).to(self._device)
                scores += self._model(**inputs).logits[:, -1].cpu().tolist()
        return scores

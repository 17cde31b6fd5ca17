"""A sentence model with transformers and torch: any device, any architecture."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from answerbox.adapters.model_store import StoredModel
from answerbox.adapters.torch_device import device_of


class TransformersModel:
    def __init__(self, stored: StoredModel, device: str) -> None:
        self._device = device_of(device)
        self._tokenizer = AutoTokenizer.from_pretrained(stored.path, local_files_only=True)
        model = AutoModel.from_pretrained(
            stored.path, local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype="float32"
        )
        self._model = model.to(self._device).eval()
        self._max_tokens = int(stored.metadata.get("max_tokens", 512))
        self.dimension = int(model.config.hidden_size)

    def hidden(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        inputs = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state
        return hidden.float().cpu().numpy(), inputs["attention_mask"].float().cpu().numpy()

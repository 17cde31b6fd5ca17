"""A sentence model with OpenVINO: on a CPU a question takes a third of torch's time, and torch is not loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from answerbox.adapters.model_store import StoredModel
from answerbox.adapters.silent_openvino import openvino

PADDED_TO = 16
"""Tokens: OpenVINO keeps kernels for each shape that it meets, so there must not be many."""
PROPERTIES = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


class OpenVinoModel:
    def __init__(self, stored: StoredModel, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(stored.path / "tokenizer.json"))
        self._tokenizer.enable_truncation(int(stored.metadata.get("max_tokens", 512)))
        padding = self._tokenizer.padding or {}
        self._tokenizer.enable_padding(**{**padding, "length": None, "pad_to_multiple_of": PADDED_TO})
        model = openvino.Core().compile_model(file, "CPU", PROPERTIES)
        self._inputs = [port.any_name for port in model.inputs]
        self._request = model.create_infer_request()
        self.dimension = int(model.output(0).partial_shape[2].get_length())

    def hidden(self, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        encoded = self._tokenizer.encode_batch(texts)
        mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
        inputs = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
        }
        found = self._request.infer({name: inputs[name] for name in self._inputs})
        return found[0], mask.astype(np.float32)

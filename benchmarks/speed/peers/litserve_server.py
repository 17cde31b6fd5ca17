"""LitServe with its batching on: up to 16 requests go through `model.generate` together, and are streamed.

A batch is static: who comes later waits for its end, and its answers end together. Run as
`python -m benchmarks.speed.peers.litserve_server MODEL_FOLDER PORT`.
"""
# mypy: disable-error-code="import-not-found, misc"

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Iterator
from queue import SimpleQueue
from typing import Any

import litserve
import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer

BATCH = 16
BATCH_WAIT_S = 0.05
TIMEOUT_S = 600


class TokenQueue:
    """A streamer of transformers for a whole batch: each item is the next token of every row; None is the end."""

    def __init__(self) -> None:
        self.items: SimpleQueue[list[int] | None] = SimpleQueue()
        self._prompt = True

    def put(self, value: Any) -> None:
        if not self._prompt:
            self.items.put(value.tolist())
        self._prompt = False

    def end(self) -> None:
        self.items.put(None)


class Chat(litserve.LitAPI):
    def __init__(self, folder: str) -> None:
        super().__init__(max_batch_size=BATCH, batch_timeout=BATCH_WAIT_S, stream=True, api_path="/generate")
        self._folder = folder

    def setup(self, device: str) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(self._folder, padding_side="left")
        self._model = AutoModelForCausalLM.from_pretrained(self._folder, dtype=torch.float32).to(device).eval()
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        ends = self._model.generation_config.eos_token_id
        self._ends = set(ends if isinstance(ends, list) else [ends])

    def batch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return list(inputs)

    def predict(self, questions: list[dict[str, Any]]) -> Iterator[list[str]]:
        inputs = self._tokenizer.apply_chat_template(
            [question["messages"] for question in questions],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        ).to(self._model.device)
        read = inputs["attention_mask"].sum(1).tolist()
        limits = [int(question["max_tokens"]) for question in questions]
        queue = TokenQueue()

        def work() -> None:
            try:
                self._model.generate(**inputs, max_new_tokens=max(limits), do_sample=False, streamer=queue)
            finally:
                queue.end()

        thread = threading.Thread(target=work)
        thread.start()
        rows = [Row(self._tokenizer, *counts) for counts in zip(read, limits, strict=True)]
        while (tokens := queue.items.get()) is not None:
            yield [row.line(token, self._ends) for row, token in zip(rows, tokens, strict=True)]
        thread.join()

    def unbatch(self, output: Iterable[list[str]]) -> Iterator[list[str]]:
        yield from output

    def encode_response(self, output: Iterable[list[str]]) -> Iterator[list[str]]:
        yield from output


class Row:
    """One request of the batch: its tokens as lines of JSON, and how many there were when it ended."""

    def __init__(self, tokenizer: Any, read: int, limit: int) -> None:
        self._tokenizer = tokenizer._tokenizer
        self._decoder = DecodeStream([], skip_special_tokens=True)
        self._read = read
        self._limit = limit
        self._made = 0
        self._ended = False

    def line(self, token: int, ends: set[int]) -> str:
        if self._ended:
            return ""
        self._made += 1
        text = self._decoder.step(self._tokenizer, token)
        lines = json.dumps({"text": text}) + "\n" if text else ""
        if token in ends or self._made == self._limit:
            self._ended = True
            lines += json.dumps({"prompt_tokens": self._read, "completion_tokens": self._made}) + "\n"
        return lines


if __name__ == "__main__":
    server = litserve.LitServer(Chat(sys.argv[1]), accelerator="auto", timeout=TIMEOUT_S)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")

"""transformers' model in a running batch: any architecture, any device, float32 on a CPU."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from answerbox.adapters.generation.engine import Ended, EngineInfo, Made, OutOfMemory, Row
from answerbox.adapters.generation.running_batch import BatchRow, RunningBatch
from answerbox.adapters.generation.sampling import Sampler
from answerbox.adapters.torch_device import device_of

PREFILL_TOKENS = 1_024
"""Prompt tokens that are read between two steps, padding counted; more would hold up who is already answering."""


class TransformersEngine:
    def __init__(self, folder: Path, device: str, ends: frozenset[int], rows: int, tokens: int) -> None:
        self.info = EngineInfo("transformers", rows, tokens)
        self._model = load(folder, device)
        self._ends = ends
        self._batch = RunningBatch(self._model, pad_token=min(ends, default=0))
        self._waiting: deque[BatchRow] = deque()
        self._warm_up()

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._batch.rows)

    def add(self, row: Row) -> None:
        sampler = Sampler(row.temperature, row.top_p, row.seed)
        self._waiting.append(BatchRow(row.id, row.prompt, row.max_tokens, sampler))

    def cancel(self, row_id: int) -> None:
        self._waiting = deque(row for row in self._waiting if row.id != row_id)
        self._leave({row_id})

    def step(self) -> list[Made]:
        """Reads prompts that wait, and makes their first token; then a token for everyone."""
        try:
            new = self._next()
            if new:
                self._batch.admit(new)
                return self._report(new)
            self._batch.step()
            return self._report(self._batch.rows)
        except torch.OutOfMemoryError as exc:
            raise OutOfMemory(str(exc)) from exc

    def clear(self) -> None:
        self._waiting.clear()
        self._batch.clear()
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()

    def _next(self) -> list[BatchRow]:
        """Who joins now: in order, as many as may be read at once; alone where rows cannot join a running batch."""
        chosen: list[BatchRow] = []
        longest = 0
        while self._waiting and (self._batch.mergeable or not (self._batch.rows or chosen)):
            longest = max(longest, len(self._waiting[0].prompt))
            if chosen and longest * (len(chosen) + 1) > PREFILL_TOKENS:
                break
            chosen.append(self._waiting.popleft())
        return chosen

    def _report(self, rows: list[BatchRow]) -> list[Made]:
        made = [Made(row.id, [row.made[-1]], self._ended(row)) for row in rows]
        self._leave({row.id for row in made if row.ended})
        return made

    def _ended(self, row: BatchRow) -> Ended | None:
        if row.made[-1] in self._ends:
            return "stop"
        return "length" if len(row.made) >= row.max_tokens else None

    def _leave(self, ids: set[int]) -> None:
        places = {place for place, row in enumerate(self._batch.rows) if row.id in ids}
        if places:
            self._batch.remove(places)

    def _warm_up(self) -> None:
        self.add(Row(0, [0] * 64, 3))
        while self.busy:
            self.step()


def load(folder: Path, device: str) -> Any:
    """The model on the device; float32 on a CPU, else in the type that it was stored in."""
    place = device_of(device)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        dtype="float32" if place.type == "cpu" else "auto",
    )
    return model.to(place).eval()

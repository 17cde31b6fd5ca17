"""The running batch of a language model: requests join it and leave it between two tokens.

Knows token ids and tensors; knows nothing of text, queues or threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from answerbox.adapters.generation import kv_cache
from answerbox.adapters.generation.sampling import Sampler


@dataclass(eq=False)
class BatchRow:
    """One request in the batch. `made` are the tokens generated so far."""

    id: int
    prompt: list[int]
    max_tokens: int
    sampler: Sampler
    made: list[int] = field(default_factory=list)


class RunningBatch:
    def __init__(self, model: Any, pad_token: int) -> None:
        self._model = model
        self._pad = pad_token
        self._device = model.device
        self.rows: list[BatchRow] = []
        self._cache: Any = None
        self._mask = torch.empty(0, 0, dtype=torch.long, device=self._device)
        self.mergeable = True

    @torch.inference_mode()
    def admit(self, rows: Sequence[BatchRow]) -> None:
        """Reads the prompts of the new rows and makes the first token of each."""
        longest = max(len(row.prompt) for row in rows)
        pads = [longest - len(row.prompt) for row in rows]
        ids = torch.tensor(
            [[self._pad] * pad + row.prompt for pad, row in zip(pads, rows, strict=True)], device=self._device
        )
        mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads], device=self._device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        out = self._model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        self._append(out.logits[:, -1], rows)
        self._join(list(rows), mask, out.past_key_values)

    @torch.inference_mode()
    def step(self) -> None:
        """One more token for every row."""
        last = torch.tensor([[row.made[-1]] for row in self.rows], device=self._device)
        ones = torch.ones(len(self.rows), 1, dtype=self._mask.dtype, device=self._device)
        self._mask = torch.cat([self._mask, ones], dim=1)
        out = self._model(
            input_ids=last,
            attention_mask=self._mask,
            position_ids=self._mask.sum(1, keepdim=True) - 1,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._append(out.logits[:, -1], self.rows)

    def remove(self, gone: set[int]) -> None:
        """Frees the rows at these places."""
        places = [place for place in range(len(self.rows)) if place not in gone]
        self.rows = [self.rows[place] for place in places]
        if not places:
            self._cache = None
            return
        mask = self._mask[places]
        drop_left = int((mask.sum(0) > 0).long().argmax())
        kv_cache.keep(self._cache, places, drop_left)
        self._mask = mask[:, drop_left:]

    def clear(self) -> None:
        self.rows, self._cache = [], None

    def _append(self, logits: torch.Tensor, rows: Sequence[BatchRow]) -> None:
        for row, scores in zip(rows, logits, strict=True):
            row.made.append(row.sampler.choose(scores))

    def _join(self, rows: list[BatchRow], mask: torch.Tensor, cache: Any) -> None:
        self.mergeable = kv_cache.mergeable(cache)
        if self._cache is None:
            self.rows, self._mask, self._cache = rows, mask, cache
            return
        width = max(kv_cache.length(self._cache), kv_cache.length(cache))
        masks = []
        for part, part_mask in ((self._cache, self._mask), (cache, mask)):
            missing = width - kv_cache.length(part)
            kv_cache.pad_left(part, missing)
            masks.append(torch.nn.functional.pad(part_mask, (missing, 0)))
        kv_cache.join(self._cache, cache)
        self._mask = torch.cat(masks)
        self.rows = [*self.rows, *rows]

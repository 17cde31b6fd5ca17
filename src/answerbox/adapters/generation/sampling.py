"""Choosing the next token of one request."""

from __future__ import annotations

import torch


class Sampler:
    """Greedy at temperature 0, else nucleus sampling (Holtzman et al., ICLR 2020) with a generator of its own.

    The same seed and the same logits give the same token, whatever else is in the batch.
    """

    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        self._temperature = temperature
        self._top_p = top_p
        self._random = torch.Generator()
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed)

    def choose(self, logits: torch.Tensor) -> int:
        """`logits`: shape (vocabulary,)."""
        if self._temperature == 0:
            return int(logits.argmax())
        shares = torch.softmax(logits.float().cpu() / self._temperature, dim=-1)
        if self._top_p < 1:
            shares = _nucleus(shares, self._top_p)
        return int(torch.multinomial(shares, 1, generator=self._random))


def _nucleus(shares: torch.Tensor, top_p: float) -> torch.Tensor:
    """The likeliest tokens whose shares before them add up to less than `top_p`; the rest becomes 0."""
    ordered, places = shares.sort(descending=True)
    ordered[ordered.cumsum(0) - ordered >= top_p] = 0
    return torch.zeros_like(shares).scatter_(0, places, ordered)

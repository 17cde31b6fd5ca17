"""Sampling for transformers' continuous batching that each request can repeat.

A draw from a softmax is the place of the maximum of its logits with Gumbel noise added (Gumbel 1954; Maddison et
al., NeurIPS 2014). The noise here is a hash of the request's seed, the token's position and the token's id, so the
same seed gives the same text whatever else is in the batch.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingTemperatureLogitsWarper,
    ContinuousBatchingTopPLogitsWarper,
)
from transformers.generation.logits_process import TemperatureLogitsWarper, TopPLogitsWarper

MASK = 0xFFFFFFFF
NONE = 0
"""The argument of a greedy row: no noise."""


class SeededNoise(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    supported_kwargs: dict[str, type] = {"draw": int}  # noqa: RUF012 (transformers' own form)
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.fill_(NONE)

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        data = [_noise_key(request.state) for request in requests_with_new_token]
        return torch.tensor(data, dtype=torch.int32, device="cpu")

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """`scores`: shape (rows, vocabulary)."""
        keys = tensor_arg[: scores.size(0)].to(torch.int64)[:, None]
        places = torch.arange(scores.size(1), device=scores.device, dtype=torch.int64)[None, :]
        mixed = mix(mix(keys & MASK) ^ mix(places + 1))
        uniform = ((mixed >> 8).to(torch.float32) + 0.5) / 2**24
        noise = -torch.log(-torch.log1p(-uniform))  # never +inf: a uniform that rounds to 1 gives -inf
        return torch.where(keys == NONE, scores, scores + noise)


def mix(x: torch.Tensor) -> torch.Tensor:
    """MurmurHash3's 32-bit finalizer, in 64-bit integers."""
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & MASK
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & MASK
    return x ^ (x >> 16)


def install_seeded_sampling(manager: Any) -> None:
    """Before the manager starts. It has no public way to add a processor of one's own (transformers 5.23)."""
    processors = manager.logit_processor
    processors.logits_processor += [
        ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(0.5)),
        ContinuousBatchingTopPLogitsWarper(TopPLogitsWarper(1.0)),
        SeededNoise(),
    ]
    processors.tensors_required += 3
    processors._retrieve_processors_kwargs()
    processors.do_processing = True


def _noise_key(state: Any) -> int:
    """A number of 31 bits that is never `NONE`, from the seed and how many tokens have been made."""
    seed = state.logit_processor_kwargs.get("draw", NONE)
    if seed == NONE:
        return NONE
    return hash((seed, state.position_offset)) % (2**31 - 1) + 1

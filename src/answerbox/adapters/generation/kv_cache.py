"""Rows of a transformers `DynamicCache`: joining and leaving a running batch.

All rows of a batch have one length; shorter ones are padded on the left, and the attention mask hides that.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

KEYS_AXIS = 2
"""Keys and values have the shape (batch, heads, tokens, head size)."""


def mergeable(cache: DynamicCache) -> bool:
    """Whether rows can join: plain layers only, no sliding windows and no recurrent state."""
    return all(type(layer) is DynamicLayer for layer in cache.layers)


def length(cache: DynamicCache) -> int:
    return int(cache.get_seq_length())


def pad_left(cache: DynamicCache, tokens: int) -> None:
    if tokens:
        for layer in cache.layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, tokens, 0))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0, tokens, 0))


def join(running: DynamicCache, new: DynamicCache) -> None:
    """Appends the rows of `new` to `running`; both are of one length."""
    for mine, other in zip(running.layers, new.layers, strict=True):
        mine.keys = torch.cat([mine.keys, other.keys])
        mine.values = torch.cat([mine.values, other.values])


def keep(cache: DynamicCache, rows: list[int], drop_left: int) -> None:
    """Leaves only these rows, without the first `drop_left` tokens, which none of them needs."""
    chosen = torch.tensor(rows, device=cache.layers[0].keys.device)
    for layer in cache.layers:
        layer.keys = layer.keys.index_select(0, chosen)[:, :, drop_left:].contiguous()
        layer.values = layer.values.index_select(0, chosen)[:, :, drop_left:].contiguous()

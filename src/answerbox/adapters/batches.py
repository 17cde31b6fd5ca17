"""Things to be sent, in batches that a receiver takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: Callable[[T], int], most: int, room: int) -> Iterator[list[T]]:
    """In order: at most `most` in each, and `room` together by their `size`; what is larger by itself goes alone."""
    batch: list[T] = []
    taken = 0
    for item in items:
        needed = size(item)
        if batch and (len(batch) >= most or taken + needed > room):
            yield batch
            batch, taken = [], 0
        batch.append(item)
        taken += needed
    if batch:
        yield batch

"""A small copy of a trace: what waits to be sent must neither change nor hold on to requests of megabytes.

It is made while the request is answered, so texts are only cut here, which takes a millionth of a second; masking is
later. Whatever is in a trace becomes JSON.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from answerbox.adapters.masking import CUT, head
from answerbox.traces import Observation, Trace

MAX_OBSERVATIONS = 1_000
MAX_VALUES = 5_000
MAX_BYTES = 2 * 2**20
"""Of all texts of one trace, in memory."""
MAX_DEPTH = 16
OBSERVATION_BYTES = 4_096
"""A span without its texts."""
VALUE_BYTES = 64
LARGEST = 2**53 - 1
"""Beyond it JavaScript rounds whole numbers, so they are sent as text, as Langfuse's SDK does."""
KEY_CHARS = 200


class Snapshot:
    """`trace` is the copy, `size` about how many bytes it takes."""

    def __init__(self, trace: Trace, chars: int, content: bool) -> None:
        self._chars = chars
        self._values = MAX_VALUES
        self._bytes = MAX_BYTES
        kept = trace.observations[:MAX_OBSERVATIONS]
        copies = {id(old): self._observation(old, content) for old in kept}
        for new in copies.values():
            new.parent = copies.get(id(new.parent))
        self.trace = copy.copy(trace)
        self.trace.observations = list(copies.values())
        self.trace.tags, self.trace.degraded = list(trace.tags), list(trace.degraded)
        spent = MAX_BYTES - self._bytes + (MAX_VALUES - self._values) * VALUE_BYTES
        self.size = spent + len(copies) * OBSERVATION_BYTES

    def _observation(self, old: Observation, content: bool) -> Observation:
        return replace(
            old,
            input=self._copy(old.input) if content else None,
            output=self._copy(old.output) if content else None,
            parameters=self._copy(old.parameters),
            usage=self._copy(old.usage),
            detail=self._copy(old.detail),
        )

    def _copy(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        self._values -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int | float):
            return _number(value)
        if self._values < 0 or depth <= 0:
            return CUT
        return self._composed(value, depth - 1)

    def _composed(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return {_key(key): self._copy(item, depth) for key, item in self._first(value.items())}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._copy(item, depth) for item in self._first(value)]
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        return self._object(value, depth)

    def _first(self, items: Any) -> list[Any]:
        """As many as there is room for; what is beyond is left out."""
        return [item for item, _ in zip(items, range(max(self._values, 0)), strict=False)]

    def _object(self, value: Any, depth: int) -> Any:
        try:
            if hasattr(value, "model_dump"):
                return self._copy(value.model_dump(mode="json"), depth)
            if is_dataclass(value):
                return self._copy({each.name: getattr(value, each.name) for each in fields(value)}, depth)
            return self._text(str(value))
        except Exception:  # an object of others may do anything when it is asked
            return f"<{type(value).__name__}>"

    def _text(self, text: str) -> str:
        short = head(str.__str__(text), self._chars)
        self._bytes -= sys.getsizeof(short)
        return short if self._bytes >= 0 else CUT


def _number(value: float) -> int | float | str:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if -LARGEST <= value <= LARGEST:
        return value
    return str(value) if value.bit_length() < 1_024 else f"<{value.bit_length()} bits>"


def _key(key: Any) -> str:
    return (
        key[:KEY_CHARS]
        if isinstance(key, str)
        else str(_number(key) if isinstance(key, int | float) else key)[:KEY_CHARS]
    )

"""What several parts of the contract share: bounds, names, and the class that all of them are made of."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from answerbox.filters import parsed

MAX_QUESTION_CHARS = 8_000
MAX_CONTEXT_CHARS = 64_000
MAX_COMMENT_CHARS = 2_000
MAX_DOCUMENT_CHARS = 2_000_000
MAX_DOCUMENTS = 1_000
MAX_PAGE = 200
MAX_PARAMETERS_CHARS = 64_000
MAX_PARAMETERS_DEPTH = 16

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\w.@:+~-]+$")]
DocumentId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Anything printable. In a path it is percent-encoded."""

Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)]
ContextText = Annotated[str, StringConstraints(max_length=MAX_CONTEXT_CHARS)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$")]
StopString = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Scalar = Annotated[str, StringConstraints(max_length=1_000)] | bool | int | float


def _small(mapping: dict[str, Any]) -> dict[str, Any]:
    if len(mapping) > 32:
        raise ValueError("at most 32 keys")
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in mapping.values()):
        raise ValueError("whole numbers are of 64 bits")
    return mapping


def _bounded(parameters: dict[str, Any]) -> dict[str, Any]:
    if _depth(parameters) > MAX_PARAMETERS_DEPTH:
        raise ValueError(f"at most {MAX_PARAMETERS_DEPTH} levels")
    if len(json.dumps(parameters, ensure_ascii=False, allow_nan=False)) > MAX_PARAMETERS_CHARS:
        raise ValueError(f"at most {MAX_PARAMETERS_CHARS} characters of JSON")
    return parameters


def _depth(value: Any, limit: int = MAX_PARAMETERS_DEPTH) -> int:
    """How deep lists and objects lie in each other; looks no deeper than one level below the limit."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if members is None or limit < 0:
        return 0
    return 1 + max((_depth(member, limit - 1) for member in members), default=0)


def _is_filter(raw: dict[str, Any]) -> dict[str, Any]:
    parsed(raw)
    return raw


Metadata = Annotated[dict[Key, Scalar], AfterValidator(_small)]
Parameters = Annotated[dict[Key, Any], AfterValidator(_small), AfterValidator(_bounded)]
Filter = Annotated[dict[str, Any], AfterValidator(_is_filter)]
"""See `filters.py`."""


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

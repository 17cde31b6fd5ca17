"""What may be said beside a question, a search and a score, for those who check types.

The contract's own classes decide; a test keeps these names true to them.
"""

from __future__ import annotations

from typing import Any, TypedDict

from answerbox.contracts import Filter, Options, SearchMode


class CallFields(TypedDict, total=False):
    """Of one call: the id under which it can be cancelled, its deadline in seconds, the trace that it belongs to."""

    request_id: str
    deadline_s: float
    traceparent: str


class LlmFields(CallFields, total=False):
    context: str | None
    user_id: str | None
    session_id: str | None
    options: Options


class RagFields(LlmFields, total=False):
    top_k: int | None
    filter: Filter | None


class AgentFields(RagFields, total=False):
    max_steps: int | None


class CustomFields(CallFields, total=False):
    context: str | None
    user_id: str | None
    session_id: str | None
    parameters: dict[str, Any]


class SearchFields(CallFields, total=False):
    top_k: int
    filter: Filter | None
    user_id: str | None
    mode: SearchMode


class FeedbackFields(TypedDict, total=False):
    request_id: str | None
    trace_id: str | None
    comment: str | None
    user_id: str | None

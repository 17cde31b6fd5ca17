"""What a stream says: one event after the other, the last one `done` or `error`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from answerbox.contracts.answers import (
    AgentResponse,
    CallStatus,
    Citation,
    CustomResponse,
    LlmResponse,
    PipelineName,
    RagResponse,
    Source,
    Step,
)
from answerbox.contracts.base import Contract


class MetaEvent(Contract):
    """First event of a stream: what is known before the first word."""

    event: Literal["meta"] = "meta"
    request_id: str
    pipeline: PipelineName
    model: str
    sources: list[Source] = Field(default_factory=list)


class StepEvent(Contract):
    event: Literal["step"] = "step"
    step: Step


class ToolCallEvent(Contract):
    """The agent's model wants a tool called."""

    event: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: dict[str, Any] | None = Field(None, description="None where the model gave no JSON object.")


class ToolResultEvent(Contract):
    """What came of it; calls that ran together are told in the order in which they were asked for."""

    event: Literal["tool_result"] = "tool_result"
    id: str
    name: str
    status: CallStatus
    content: str = Field(description="What the model is told, shortened.")
    sources: list[Source] = Field(
        default_factory=list, description="Passages that were found since the last of these events."
    )
    duration_ms: float = 0.0


class TokenEvent(Contract):
    event: Literal["token"] = "token"
    text: str = Field(description="The next piece of the answer; all pieces together are the answer.")


class CitationEvent(Contract):
    event: Literal["citation"] = "citation"
    citation: Citation


class CorrectionEvent(Contract):
    """What stands in the place of the words that were streamed so far: they are not borne by the sources, or the
    agent's model said them before it called a tool. Tokens may follow it."""

    event: Literal["correction"] = "correction"
    text: str


class ErrorEvent(Contract):
    """Last event of a stream that failed; `problem` is what the same failure looks like over plain HTTP."""

    event: Literal["error"] = "error"
    problem: dict[str, Any]


class DoneEvent(Contract):
    """Last event of a stream that worked: the response that the plain route would have given."""

    event: Literal["done"] = "done"
    response: CustomResponse | LlmResponse | RagResponse | AgentResponse


Event = (
    MetaEvent | StepEvent | ToolCallEvent | ToolResultEvent | TokenEvent | CorrectionEvent | CitationEvent | DoneEvent
)

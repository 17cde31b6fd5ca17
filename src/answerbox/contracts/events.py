"""What a stream says: one event after the other, the last one `done` or `error`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from answerbox.contracts.answers import Citation, LlmResponse, PipelineName, RagResponse, Source, Step
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


class TokenEvent(Contract):
    event: Literal["token"] = "token"
    text: str = Field(description="The next piece of the answer; all pieces together are the answer.")


class CitationEvent(Contract):
    event: Literal["citation"] = "citation"
    citation: Citation


class CorrectionEvent(Contract):
    """The words that were streamed are not borne by the sources; this is the answer in their place."""

    event: Literal["correction"] = "correction"
    text: str


class ErrorEvent(Contract):
    """Last event of a stream that failed; `problem` is what the same failure looks like over plain HTTP."""

    event: Literal["error"] = "error"
    problem: dict[str, Any]


class DoneEvent(Contract):
    """Last event of a stream that worked: the response that the plain route would have given."""

    event: Literal["done"] = "done"
    response: LlmResponse | RagResponse


Event = MetaEvent | StepEvent | TokenEvent | CorrectionEvent | CitationEvent | DoneEvent

"""The shape of a pipeline, how a stream of events becomes one response, and what its trace says of both ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar, runtime_checkable

from answerbox.contracts import (
    AgentRequest,
    AgentResponse,
    CustomResponse,
    DoneEvent,
    Event,
    LlmResponse,
    QuestionRequest,
    RagMeta,
    RagResponse,
)
from answerbox.errors import InternalError
from answerbox.pipelines.context import RequestContext
from answerbox.traces import Trace

Response = LlmResponse | RagResponse | AgentResponse | CustomResponse
RequestT = TypeVar("RequestT", bound=QuestionRequest, contravariant=True)


class Pipeline(Protocol, Generic[RequestT]):
    def stream(self, request: RequestT, context: RequestContext) -> AsyncGenerator[Event, None]:
        """Events as they happen; the last one is `done`. Failures are raised as `AnswerboxError`."""
        ...


@runtime_checkable
class Cancellable(Protocol):
    def cancel(self, request_id: str) -> bool:
        """Ends the answer of that request, where this process makes it. Whether there was one."""
        ...


async def answer(pipeline: Pipeline[RequestT], request: RequestT, context: RequestContext) -> Response:
    """The response at the end of the pipeline's stream."""
    async with aclosing(pipeline.stream(request, context)) as events:
        async for event in events:
            if isinstance(event, DoneEvent):
                return event.response
    raise InternalError("The pipeline ended without an answer.")


def note_request(trace: Trace, request: QuestionRequest) -> None:
    trace.user_id, trace.session_id = request.user_id, request.session_id
    trace.root.kind = "agent" if isinstance(request, AgentRequest) else "chain"
    trace.root.input = request.model_dump(include={"question", "context", "parameters"}, exclude_defaults=True)


def note_response(trace: Trace, response: Response) -> None:
    meta, root = response.meta, trace.root
    root.output = response.answer
    root.detail = {"model": meta.model, "finish_reason": meta.finish_reason}
    if isinstance(meta, RagMeta) and meta.grounding:
        root.detail["grounding"] = meta.grounding.mode

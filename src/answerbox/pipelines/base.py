"""The shape of a pipeline, and how a stream of events becomes one response."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, Protocol, TypeVar

from answerbox.contracts import DoneEvent, Event, LlmRequest, LlmResponse, RagResponse
from answerbox.errors import InternalError
from answerbox.pipelines.context import RequestContext

RequestT = TypeVar("RequestT", bound=LlmRequest, contravariant=True)


class Pipeline(Protocol, Generic[RequestT]):
    def stream(self, request: RequestT, context: RequestContext) -> AsyncGenerator[Event, None]:
        """Events as they happen; the last one is `done`. Failures are raised as `AnswerboxError`."""
        ...


async def answer(pipeline: Pipeline[RequestT], request: RequestT, context: RequestContext) -> LlmResponse | RagResponse:
    """The response at the end of the pipeline's stream."""
    async with aclosing(pipeline.stream(request, context)) as events:
        async for event in events:
            if isinstance(event, DoneEvent):
                return event.response
    raise InternalError("The pipeline ended without an answer.")

"""Our answers and streams in the words of OpenAI's protocol."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from answerbox.contracts import (
    CorrectionEvent,
    DoneEvent,
    ErrorEvent,
    Event,
    QuestionRequest,
    RagMeta,
    TokenEvent,
)
from answerbox.pipelines.base import Pipeline, Response
from answerbox.pipelines.chat import ChatResponse
from answerbox.pipelines.context import RequestContext
from answerbox.service import sse
from answerbox.service.openai_contract import (
    Annotation,
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    CompletionUsage,
    Delta,
    FinishReason,
    ToolCallBody,
    ToolCallPiece,
    UrlCitation,
)
from answerbox.service.openai_problems import error_of
from answerbox.service.openai_tools import body_of

CUT = ("length", "deadline", "cancelled")
"""Finish reasons of ours for a text that is not whole: `length` is the only such word there."""
END = "data: [DONE]\n\n"


class Checked:
    """The pipeline, whose words are told when they have been checked."""

    def __init__(self, pipeline: Pipeline[Any]) -> None:
        self._pipeline = pipeline

    async def stream(self, request: QuestionRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        async with aclosing(self._pipeline.stream(request, context)) as events:
            async for event in events:
                if isinstance(event, TokenEvent | CorrectionEvent):
                    continue
                if isinstance(event, DoneEvent):
                    yield TokenEvent(text=event.response.answer)
                yield event


class Answers:
    """The answer to one request, whole or in chunks, which begin with the role."""

    def __init__(self, request_id: str, model: str, ignored: list[str], with_usage: bool) -> None:
        self._head: dict[str, Any] = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}
        self._ignored = ignored
        self._with_usage = with_usage
        self._begun = False

    def whole(self, response: Response) -> ChatCompletion:
        calls = _calls(response)
        content = None if calls and not response.answer else response.answer
        message = AnswerMessage(content=content, annotations=_annotations(response), tool_calls=calls or None)
        choice = Choice(message=message, finish_reason=_finish_reason(response))
        return ChatCompletion(**self._head, choices=[choice], usage=_usage(response), answerbox=self._meta(response))

    def framing(self, event: Event | ErrorEvent) -> str:
        if isinstance(event, ErrorEvent):
            return sse.data(error_of(event.problem))  # and no `[DONE]`: it is not whole
        start = "" if self._begun else self._delta(Delta(role="assistant", content=""))
        self._begun = True
        if isinstance(event, TokenEvent):
            return start + self._delta(Delta(content=event.text))
        return start + self._last(event.response) if isinstance(event, DoneEvent) else start

    def _last(self, response: Response) -> str:
        annotations = _annotations(response)
        parts = [self._delta(Delta(annotations=annotations))] if annotations else []
        if calls := _calls(response):
            pieces = [ToolCallPiece(index=index, **call.model_dump()) for index, call in enumerate(calls)]
            parts.append(self._delta(Delta(tool_calls=pieces)))
        finish = ChunkChoice(delta=Delta(), finish_reason=_finish_reason(response))
        parts.append(self._chunk([finish], answerbox=self._meta(response)))
        if self._with_usage:
            parts.append(self._chunk([], usage=_usage(response)))
        return "".join([*parts, END])

    def _delta(self, delta: Delta) -> str:
        return self._chunk([ChunkChoice(delta=delta)])

    def _chunk(self, choices: list[ChunkChoice], **more: Any) -> str:
        chunk = ChatChunk(**self._head, choices=choices, **more)
        content = chunk.model_dump(mode="json", exclude={"choices", "usage", "answerbox"})
        content["choices"] = [
            {
                **choice.model_dump(mode="json", exclude={"delta"}),
                "delta": choice.delta.model_dump(mode="json", exclude_none=True),
            }
            for choice in choices
        ]
        if self._with_usage:  # null in all chunks but the last
            content["usage"] = chunk.usage.model_dump() if chunk.usage else None
        if chunk.answerbox is not None:
            content["answerbox"] = chunk.answerbox
        return sse.data(content)

    def _meta(self, response: Response) -> dict[str, Any]:
        return {**response.meta.model_dump(mode="json"), "ignored": self._ignored}


def _calls(response: Response) -> list[ToolCallBody]:
    return [body_of(call) for call in response.tool_calls] if isinstance(response, ChatResponse) else []


def _finish_reason(response: Response) -> FinishReason:
    if _calls(response):
        return "tool_calls"
    return "length" if response.meta.finish_reason in CUT else "stop"


def _usage(response: Response) -> CompletionUsage:
    return CompletionUsage(**response.meta.usage.model_dump())


def _annotations(response: Response) -> list[Annotation]:
    if not isinstance(response.meta, RagMeta):
        return []
    found = []
    for citation in response.meta.citations:
        source = response.meta.sources[citation.source - 1]
        cited = UrlCitation(
            start_index=citation.start,
            end_index=citation.end,
            title=source.title or source.document_id,
            url=source.uri or f"/documents/{quote(source.document_id)}",
        )
        found.append(Annotation(url_citation=cited))
    return found

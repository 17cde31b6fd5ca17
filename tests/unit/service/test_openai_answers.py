"""Our events as the chunks of OpenAI's protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from answerbox.contracts import (
    Citation,
    CorrectionEvent,
    DoneEvent,
    ErrorEvent,
    Event,
    LlmMeta,
    LlmRequest,
    LlmResponse,
    MetaEvent,
    RagMeta,
    RagResponse,
    Source,
    TokenEvent,
    Usage,
)
from answerbox.errors import Overloaded
from answerbox.pipelines.chat import ChatResponse
from answerbox.pipelines.context import RequestContext
from answerbox.service import problems
from answerbox.service.openai_answers import Answers, Checked
from answerbox.tools import ToolCall

META: dict[str, Any] = {"request_id": "r", "model": "m", "latency_ms": 1.0}
BEGIN = MetaEvent(request_id="r", pipeline="llm", model="m")


def done(answer: str = "Paris", reason: Any = "stop") -> DoneEvent:
    usage = Usage(prompt_tokens=2, completion_tokens=1, total_tokens=3)
    meta = LlmMeta(**META, pipeline="llm", finish_reason=reason, usage=usage)
    return DoneEvent(response=LlmResponse(answer=answer, meta=meta))


def wanting(answer: str = "") -> DoneEvent:
    meta, call = done().response.meta, ToolCall("id-1", "weather", '{"city": "Псков"}')
    return DoneEvent(response=ChatResponse(answer=answer, meta=meta, tool_calls=(call, replace(call, id="id-2"))))


def cited() -> DoneEvent:
    sources = [
        Source(document_id="a/b c", chunk_id="1", text="Paris is it.", score=1),
        Source(document_id="x", chunk_id="2", title="T", uri="https://x.example", text="Rome.", score=1),
    ]
    place = {"start": 0, "end": 5, "source_start": 0, "source_end": 5, "verbatim": True}
    citations = [Citation(source=number, **place) for number in (1, 2)]
    meta = RagMeta(**META, pipeline="rag", finish_reason="quoted", sources=sources, citations=citations)
    return DoneEvent(response=RagResponse(answer="Paris", meta=meta))


def chunks(*events: Event | ErrorEvent, with_usage: bool = False) -> list[Any]:
    answers = Answers("r", "answerbox-llm", ["store"], with_usage)
    lines = "".join(map(answers.framing, events)).split("\n\n")
    assert lines.pop() == ""
    return [json.loads(line.removeprefix("data: ")) if "[DONE]" not in line else "DONE" for line in lines]


def test_a_stream_begins_with_the_role_and_ends_with_the_reason() -> None:
    *parts, end = chunks(BEGIN, TokenEvent(text="Pa\u2028"), TokenEvent(text="ris"), done())
    assert end == "DONE"
    assert [part["choices"][0]["delta"] for part in parts] == [
        {"role": "assistant", "content": ""},
        {"content": "Pa\u2028"},
        {"content": "ris"},
        {},
    ]
    assert [part["choices"][0]["finish_reason"] for part in parts] == [None, None, None, "stop"]
    assert not any("usage" in part for part in parts)
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert parts[-1]["answerbox"]["ignored"] == ["store"]


def test_usage_stands_in_a_chunk_without_choices() -> None:
    *parts, last, _ = chunks(TokenEvent(text="Paris"), done(), with_usage=True)
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 3)
    assert [part["usage"] for part in parts] == [None, None, None]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("stop", "stop"), ("length", "length"), ("deadline", "length"), ("cancelled", "length"), ("refused", "stop")],
)
def test_a_text_that_was_cut_says_so(ours: str, theirs: str) -> None:
    assert Answers("r", "m", [], False).whole(done(reason=ours).response).choices[0].finish_reason == theirs
    assert chunks(done(reason=ours))[-2]["choices"][0]["finish_reason"] == theirs


def test_citations_are_annotations() -> None:
    found = chunks(cited())[1]["choices"][0]["delta"]["annotations"]
    assert [one["url_citation"] for one in found] == [
        {"start_index": 0, "end_index": 5, "title": "a/b c", "url": "/documents/a/b%20c"},
        {"start_index": 0, "end_index": 5, "title": "T", "url": "https://x.example"},
    ]


CALLS = [
    {"id": id_, "type": "function", "function": {"name": "weather", "arguments": '{"city": "Псков"}'}}
    for id_ in ("id-1", "id-2")
]


@pytest.mark.parametrize(("answer", "content"), [("", None), ("I look.", "I look.")], ids=["calls-only", "with-words"])
def test_calls_of_tools_are_for_the_caller(answer: str, content: str | None) -> None:
    choice = Answers("r", "m", [], False).whole(wanting(answer).response).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", content)
    assert choice.message.model_dump()["tool_calls"] == CALLS
    told, last = (chunk["choices"][0] for chunk in chunks(wanting(answer))[-3:-1])
    assert told["delta"] == {"tool_calls": [{**call, "index": index} for index, call in enumerate(CALLS)]}
    assert (last["delta"], last["finish_reason"]) == ({}, "tool_calls")


def test_where_nothing_is_called_nothing_is_said_of_calls() -> None:
    assert "tool_calls" not in Answers("r", "m", [], False).whole(done().response).choices[0].message.model_dump()


def test_a_failure_in_the_middle_is_the_last_event_and_nothing_says_that_it_is_done() -> None:
    problem = problems.problem(Overloaded("Too much.", hint="Wait."), "r", "/v1/chat/completions")
    last = chunks(TokenEvent(text="Pa"), ErrorEvent(problem=problem))[-1]
    assert last == {
        "error": {"message": "Too much. Wait.", "type": "server_error", "param": None, "code": "overloaded"}
    }


class Correcting:
    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events

    async def stream(self, request: LlmRequest, context: RequestContext) -> AsyncGenerator[Event, None]:
        assert (request.question, context.request_id) == ("a", "r")
        for event in self._events:
            yield event


async def test_words_that_may_be_corrected_are_kept_back() -> None:
    pipeline = Checked(Correcting([BEGIN, TokenEvent(text="Rome"), CorrectionEvent(text="Paris"), done("Paris")]))
    told = [event async for event in pipeline.stream(LlmRequest(question="a"), RequestContext("r", 5))]
    assert told == [BEGIN, TokenEvent(text="Paris"), done("Paris")]

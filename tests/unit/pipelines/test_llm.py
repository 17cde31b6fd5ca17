"""The `llm` pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from answerbox.contracts import DoneEvent, Event, LlmRequest, LlmResponse, MetaEvent, StepEvent, TokenEvent
from answerbox.errors import DeadlineExceeded, GeneratorUnavailable, InternalError
from answerbox.pipelines.base import answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.llm import LlmPipeline
from answerbox.ports import Prompt
from tests.doubles import ScriptedGenerator

REQUEST = LlmRequest(question="What is the capital of France?")


def context(timeout_s: float = 30.0) -> RequestContext:
    return RequestContext("request-1", timeout_s)


async def events(generator: ScriptedGenerator, request: LlmRequest = REQUEST) -> list[Event]:
    return [event async for event in LlmPipeline(generator, 256).stream(request, context())]


async def respond(generator: ScriptedGenerator, request: LlmRequest = REQUEST, timeout_s: float = 30.0) -> LlmResponse:
    response = await answer(LlmPipeline(generator, 256), request, context(timeout_s))
    assert isinstance(response, LlmResponse)
    return response


async def test_a_stream_begins_with_meta_and_ends_with_the_whole_answer() -> None:
    first, *tokens, step, last = await events(ScriptedGenerator())
    assert first == MetaEvent(request_id="request-1", pipeline="llm", model="scripted")
    text = "".join(event.text for event in tokens if isinstance(event, TokenEvent))
    assert isinstance(step, StepEvent)
    assert isinstance(last, DoneEvent)
    assert last.response.answer == text == "Paris is it."


async def test_the_response_tells_how_it_was_made() -> None:
    meta = (await respond(ScriptedGenerator())).meta
    assert (meta.request_id, meta.pipeline, meta.model) == ("request-1", "llm", "scripted")
    assert (meta.finish_reason, meta.degraded) == ("stop", [])
    assert (meta.usage.prompt_tokens, meta.usage.completion_tokens, meta.usage.total_tokens) == (7, 4, 11)
    assert [step.name for step in meta.steps] == ["generate"]
    assert meta.latency_ms >= meta.steps[0].duration_ms


async def test_options_reach_the_model() -> None:
    generator = ScriptedGenerator()
    options = {"max_tokens": 5, "temperature": 0.5, "top_p": 0.9, "seed": 3}
    await respond(generator, LlmRequest.model_validate({"question": "Who?", "options": options}))
    asked = generator.asked[0]
    assert (asked.max_tokens, asked.temperature, asked.top_p, asked.seed) == (5, 0.5, 0.9, 3)
    assert asked.request_id == "request-1"


async def test_without_options_the_model_is_greedy_with_the_default_length() -> None:
    generator = ScriptedGenerator()
    await respond(generator)
    asked = generator.asked[0]
    assert (asked.max_tokens, asked.temperature, asked.top_p, asked.seed) == (256, 0.0, 1.0, None)


async def test_the_callers_context_reaches_the_model() -> None:
    generator = ScriptedGenerator()
    await respond(generator, LlmRequest(question="Who?", context="Ada is here."))
    assert "Ada is here." in generator.asked[0].messages[-1].content


@pytest.mark.parametrize(
    ("languages", "question", "degraded"),
    [
        pytest.param(("en",), "Кто это?", ["model_does_not_speak:ru"], id="foreign"),
        pytest.param(("en",), "Who is it?", [], id="spoken"),
        pytest.param((), "Кто это?", [], id="any-language"),
        pytest.param(("en",), "1 + 1?", [], id="no-letters"),
    ],
)
async def test_a_language_that_the_model_does_not_speak_is_told(
    languages: tuple[str, ...], question: str, degraded: list[str]
) -> None:
    response = await respond(ScriptedGenerator(languages=languages), LlmRequest(question=question))
    assert response.meta.degraded == degraded


async def test_what_there_is_at_the_deadline_stands() -> None:
    generator = ScriptedGenerator(["Paris", " is", asyncio.Event(), " never said"])
    response = await respond(generator, timeout_s=0.1)
    assert response.answer == "Paris is"
    assert response.meta.finish_reason == "deadline"
    assert generator.closed == 1


async def test_a_deadline_before_the_first_word_is_a_failure() -> None:
    generator = ScriptedGenerator([asyncio.Event()])
    with pytest.raises(DeadlineExceeded):
        await respond(generator, timeout_s=0.05)
    assert generator.closed == 1


async def test_a_generator_that_fails_fails_the_request() -> None:
    generator = ScriptedGenerator(["Par", GeneratorUnavailable("gone")])
    with pytest.raises(GeneratorUnavailable, match="gone"):
        await respond(generator)
    assert generator.closed == 1


async def test_a_generation_without_an_end_is_no_answer() -> None:
    with pytest.raises(GeneratorUnavailable, match="middle of an answer"):
        await respond(ScriptedGenerator(["Par"], finish=False))


async def test_a_stream_closed_early_closes_the_generator() -> None:
    generator = ScriptedGenerator(["Paris", asyncio.Event()])
    stream = LlmPipeline(generator, 256).stream(REQUEST, context())
    assert isinstance(await anext(stream), MetaEvent)
    assert isinstance(await anext(stream), TokenEvent)
    await stream.aclose()
    assert generator.closed == 1


async def test_a_stream_cancelled_while_it_waits_closes_the_generator() -> None:
    generator = ScriptedGenerator([asyncio.Event()])
    task: asyncio.Task[Any] = asyncio.create_task(respond(generator))
    while not generator.asked:
        await asyncio.wait([task], timeout=0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.closed == 1


async def test_an_empty_answer_is_an_answer() -> None:
    response = await respond(ScriptedGenerator([]))
    assert (response.answer, response.meta.finish_reason) == ("", "stop")


async def test_a_pipeline_that_ends_without_an_answer_is_a_bug() -> None:
    class Silent:
        async def stream(self, request: LlmRequest, context: RequestContext) -> Any:
            yield MetaEvent(request_id=context.request_id, pipeline="llm", model=request.question)

    with pytest.raises(InternalError, match="without an answer"):
        await answer(Silent(), REQUEST, context())


class OwnPrompts:
    def get(self, name: str) -> Prompt | None:
        return Prompt(name, "Answer like a pirate.", 7) if name == "answerbox-llm-en" else None

    async def refresh(self) -> None:
        return


async def test_the_operators_own_prompt_takes_the_place_of_ours_and_is_told() -> None:
    generator, asked = ScriptedGenerator(), context()
    response = await answer(LlmPipeline(generator, 256, OwnPrompts()), REQUEST, asked)
    assert generator.asked[0].messages[0].content == "Answer like a pirate."
    assert response.meta.prompt == "answerbox-llm-en@7"
    generation = asked.trace.observations[1]
    assert generation.prompt == Prompt("answerbox-llm-en", "Answer like a pirate.", 7)


async def test_ours_are_not_told_as_somebodys_own() -> None:
    russian = LlmRequest(question="Какой город — столица Франции?")
    response = await answer(LlmPipeline(ScriptedGenerator(), 256, OwnPrompts()), russian, context())
    assert response.meta.prompt is None


@pytest.mark.parametrize("hears", [1, 2])
async def test_what_a_reader_who_hangs_up_has_cost_is_estimated(hears: int) -> None:
    here = context()
    stream = LlmPipeline(ScriptedGenerator(("Paris", " is", asyncio.Event())), 256).stream(REQUEST, here)
    tokens = (event async for event in stream if isinstance(event, TokenEvent))
    for _ in range(hears):
        await anext(tokens)
    assert here.trace.tokens == 0
    await stream.aclose()
    [step] = [each for each in here.trace.observations if each.kind == "generation"]
    assert step.usage["output"] == hears
    assert step.usage["input"] >= len(REQUEST.question) // 4
    assert (step.detail["estimated"], here.trace.tokens) == (True, step.usage["total"])

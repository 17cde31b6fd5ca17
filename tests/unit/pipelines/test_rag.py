"""The `rag` pipeline: generated, quoted, refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from answerbox.contracts import (
    CitationEvent,
    DoneEvent,
    Event,
    MetaEvent,
    RagRequest,
    RagResponse,
    Source,
    StepEvent,
    TokenEvent,
)
from answerbox.errors import DeadlineExceeded, GeneratorUnavailable, PromptTooLong
from answerbox.pipelines.base import answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.rag import RagPipeline
from answerbox.pipelines.retrieval import Retriever
from tests.doubles import ScriptedGenerator, ShelfStore, source

REQUEST = RagRequest(question="What is the capital of France?")
PARIS = source("Paris is the capital of France. It lies on the Seine.", 0.9, "paris")
BERLIN = source("Berlin is the capital of Germany.", 0.6, "berlin")
WEAK = source("Bread is good.", 0.2, "bread")
TOO_LONG = PromptTooLong("too long", extra={"prompt_tokens": 99, "limit": 50})


def pipeline(generator: ScriptedGenerator, *found: Source, down: bool = False) -> RagPipeline:
    retriever = Retriever(ShelfStore(list(found), by_words=down))
    return built(generator, retriever)


def built(generator: ScriptedGenerator, retriever: Retriever) -> RagPipeline:
    return RagPipeline(
        generator, retriever, default_max_tokens=256, default_top_k=3, min_relevance=0.45, min_coverage=0.25
    )


def context(timeout_s: float = 30.0) -> RequestContext:
    return RequestContext("request-1", timeout_s)


async def respond(rag: RagPipeline, request: RagRequest = REQUEST, timeout_s: float = 30.0) -> RagResponse:
    response = await answer(rag, request, context(timeout_s))
    assert isinstance(response, RagResponse)
    return response


async def events(rag: RagPipeline, request: RagRequest = REQUEST) -> list[Event]:
    return [event async for event in rag.stream(request, context())]


def kinds(found: list[Event]) -> list[str]:
    """The names of the events in order, repeated ones once."""
    names = [event.event for event in found]
    return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]


async def test_an_answer_is_generated_from_the_passages_and_cites_them() -> None:
    generator = ScriptedGenerator(["Paris", " is the capital."])
    response = await respond(pipeline(generator, PARIS, BERLIN))
    assert response.answer == "Paris is the capital."
    meta = response.meta
    assert [found.document_id for found in meta.sources] == ["paris", "berlin"]
    assert [(c.source, response.answer[c.start : c.end]) for c in meta.citations] == [(1, response.answer)]
    assert meta.grounding is not None
    assert (meta.grounding.mode, meta.grounding.refused, meta.grounding.score) == ("generated", False, 0.9)
    assert [step.name for step in meta.steps] == ["search", "generate"]
    prompt = generator.asked[0].messages[-1].content
    assert PARIS.text in prompt
    assert BERLIN.text in prompt


async def test_a_stream_tells_sources_before_words_and_citations_after() -> None:
    found = await events(pipeline(ScriptedGenerator(["Paris", " is the capital."]), PARIS))
    assert kinds(found) == ["step", "meta", "token", "step", "citation", "done"]
    meta = next(event for event in found if isinstance(event, MetaEvent))
    assert meta.sources == [PARIS]
    done = found[-1]
    assert isinstance(done, DoneEvent)
    assert done.response.answer == "".join(event.text for event in found if isinstance(event, TokenEvent))
    assert isinstance(done.response, RagResponse)
    assert [event.citation for event in found if isinstance(event, CitationEvent)] == done.response.meta.citations
    assert [event.step for event in found if isinstance(event, StepEvent)] == done.response.meta.steps


async def test_a_passage_below_the_bar_is_not_given_to_the_model() -> None:
    generator = ScriptedGenerator()
    response = await respond(pipeline(generator, PARIS, WEAK))
    assert response.meta.sources == [PARIS]
    assert WEAK.text not in generator.asked[0].messages[-1].content


async def test_words_alone_have_a_bar_of_their_own() -> None:
    between = source("Paris is large.", 0.35, "between")
    assert (await respond(pipeline(ScriptedGenerator(), between))).meta.sources == []
    assert (await respond(pipeline(ScriptedGenerator(), between, down=True))).meta.sources == [between]


@pytest.mark.parametrize("found", [[], [WEAK]], ids=["nothing-found", "nothing-relevant"])
async def test_without_evidence_the_pipeline_refuses_and_asks_no_model(found: list[Source]) -> None:
    generator = ScriptedGenerator()
    response = await respond(pipeline(generator, *found))
    assert generator.asked == []
    assert response.answer == "The documents do not tell."
    meta = response.meta
    assert (meta.finish_reason, meta.sources, meta.citations) == ("refused", [], [])
    assert meta.usage.total_tokens == 0
    assert meta.grounding is not None
    assert (meta.grounding.mode, meta.grounding.refused) == ("refused", True)
    assert meta.grounding.score == max((hit.score for hit in found), default=0.0)


async def test_a_refusal_speaks_russian_to_a_russian() -> None:
    response = await respond(pipeline(ScriptedGenerator()), RagRequest(question="Когда вы открыты?"))
    assert response.answer == "В документах об этом не сказано."


@pytest.mark.parametrize("found", [[PARIS], []], ids=["quoted", "refused"])
async def test_a_stream_without_a_model_has_the_same_shape(found: list[Source]) -> None:
    question = "Где лежит Paris?"
    seen = await events(pipeline(ScriptedGenerator(languages=("en",)), *found), RagRequest(question=question))
    assert [name for name in kinds(seen) if name != "citation"] == ["step", "meta", "token", "done"]


async def test_a_model_that_does_not_speak_the_language_is_replaced_by_quotes() -> None:
    shop = source("Магазин открыт с девяти утра. Хлеб свежий. В воскресенье магазин закрыт.", 0.8, "shop")
    generator = ScriptedGenerator(languages=("en",))
    request = RagRequest(question="Когда магазин открыт и когда закрыт?")
    response = await respond(pipeline(generator, shop), request)
    assert generator.asked == []
    assert response.answer == "Магазин открыт с девяти утра. [1] В воскресенье магазин закрыт. [1]"
    meta = response.meta
    assert meta.grounding is not None
    assert (meta.finish_reason, meta.grounding.mode, meta.grounding.refused) == ("quoted", "quoted", False)
    assert {citation.source for citation in meta.citations} == {1}
    assert meta.sources == [shop]


async def test_a_prompt_that_is_too_long_loses_its_last_passages_and_says_so() -> None:
    # Fits with one passage and not with two.
    one = ScriptedGenerator()
    await respond(pipeline(one, PARIS))
    size = sum(len(message.content) for message in one.asked[0].messages)
    generator = ScriptedGenerator(refuse_longer_than=size, too_long=TOO_LONG)
    response = await respond(pipeline(generator, PARIS, BERLIN, source("Rome is old.", 0.5, "rome")))
    assert len(generator.asked) == 3
    assert [hit.document_id for hit in response.meta.sources] == ["paris"]
    assert response.meta.degraded == ["passages_dropped"]
    assert response.answer == "Paris is it."
    assert generator.closed == 3


async def test_a_shortened_prompt_is_announced_with_the_sources_it_has() -> None:
    one = ScriptedGenerator()
    await respond(pipeline(one, PARIS))
    size = sum(len(message.content) for message in one.asked[0].messages)
    generator = ScriptedGenerator(refuse_longer_than=size, too_long=TOO_LONG)
    found = await events(pipeline(generator, PARIS, BERLIN))
    announced = [event.sources for event in found if isinstance(event, MetaEvent)]
    assert announced == [[PARIS]]


async def test_a_prompt_that_is_too_long_with_one_passage_is_the_callers_problem() -> None:
    generator = ScriptedGenerator(refuse_longer_than=0, too_long=TOO_LONG)
    with pytest.raises(PromptTooLong) as caught:
        await respond(pipeline(generator, PARIS, BERLIN))
    assert caught.value.extra == {"prompt_tokens": 99, "limit": 50}
    assert len(generator.asked) == 2


async def test_vectors_that_are_missing_are_told() -> None:
    response = await respond(pipeline(ScriptedGenerator(), PARIS, down=True))
    assert response.meta.degraded == ["vectors"]
    assert response.answer


async def test_what_there_is_at_the_deadline_stands_with_its_sources() -> None:
    generator = ScriptedGenerator(["Paris is the capital", asyncio.Event()])
    response = await respond(pipeline(generator, PARIS), timeout_s=0.2)
    assert (response.answer, response.meta.finish_reason) == ("Paris is the capital", "deadline")
    assert response.meta.sources == [PARIS]
    assert response.meta.citations


async def test_a_deadline_before_the_first_word_is_a_failure() -> None:
    with pytest.raises(DeadlineExceeded):
        await respond(pipeline(ScriptedGenerator([asyncio.Event()]), PARIS), timeout_s=0.1)


async def test_a_generator_that_fails_fails_the_request() -> None:
    with pytest.raises(GeneratorUnavailable):
        await respond(pipeline(ScriptedGenerator([GeneratorUnavailable("gone")]), PARIS))


async def test_a_stream_closed_early_closes_the_generator() -> None:
    generator = ScriptedGenerator(["Paris", asyncio.Event()])
    stream: Any = pipeline(generator, PARIS).stream(REQUEST, context())
    async for event in stream:
        if isinstance(event, TokenEvent):
            break
    await stream.aclose()
    assert generator.closed == 1


@pytest.mark.parametrize(("asked", "used"), [(None, 3), (1, 1), (20, 20)], ids=["default", "fewer", "more"])
async def test_top_k_is_the_callers_or_the_default(asked: int | None, used: int) -> None:
    store = ShelfStore([PARIS])
    rag = built(ScriptedGenerator(), Retriever(store))
    await respond(rag, RagRequest(question="What?", top_k=asked, filter={"team": "a"}))
    assert (store.queries[0].top_k, store.queries[0].filter) == (used, {"team": "a"})

"""What is shown when: a small model's answer is held until it is checked, a capable one's is corrected afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest

from answerbox.contracts import (
    Check,
    CitationEvent,
    CorrectionEvent,
    DoneEvent,
    Event,
    GroundingMode,
    MetaEvent,
    RagRequest,
    RagResponse,
    Source,
    TokenEvent,
)
from answerbox.errors import PromptTooLong
from answerbox.pipelines.base import answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.rag import RagPipeline
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Finish, GenerationRequest, Piece
from tests.doubles import ScriptedGenerator, ShelfStore, source

PARIS = source("Paris, on the Seine, is the capital of France. Bread is good there. Built in 1889.", 0.9, "paris")
CAPITAL, BREAD_THERE = "Paris, on the Seine, is the capital of France.", "Bread is good there."
QUOTED = f"{CAPITAL} [1] {BREAD_THERE} [1]"
BREAD = source("Bread needs flour.", 0.6, "bread")
REQUEST = RagRequest(question="What is the capital of France?")
TOO_LONG = PromptTooLong("too long", extra={"prompt_tokens": 99, "limit": 50})


@dataclass
class CutGenerator(ScriptedGenerator):
    """Ends as if there was no room for more."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        async for item in super().generate(request):
            yield Finish("length", 7, 2) if isinstance(item, Finish) else item


def pipeline(generator: ScriptedGenerator, *found: Source) -> RagPipeline:
    retriever = Retriever(ShelfStore(list(found or (PARIS, BREAD))))
    return RagPipeline(generator, retriever, 256, default_top_k=3, min_relevance=0.45, min_coverage=0.25)


async def events(generator: ScriptedGenerator, request: RagRequest = REQUEST) -> list[Event]:
    return [event async for event in pipeline(generator).stream(request, RequestContext("request-1", 30))]


def response(found: list[Event]) -> RagResponse:
    assert isinstance(found[-1], DoneEvent)
    assert isinstance(found[-1].response, RagResponse)
    return found[-1].response


def verdict(response: RagResponse) -> tuple[GroundingMode, list[Check]]:
    assert response.meta.grounding is not None
    return response.meta.grounding.mode, response.meta.grounding.failed


def pieces(found: RagResponse) -> list[tuple[str, str, bool]]:
    """(piece of the answer, sentence that bears it, verbatim)"""
    return [
        (
            found.answer[one.start : one.end],
            found.meta.sources[one.source - 1].text[one.source_start : one.source_end],
            one.verbatim,
        )
        for one in found.meta.citations
    ]


def names(found: list[Event]) -> list[str]:
    return [event.event for event in found]


def streamed(found: list[Event]) -> str:
    return "".join(event.text for event in found if isinstance(event, TokenEvent))


async def test_a_small_models_answer_that_the_evidence_bears_stands_and_is_marked() -> None:
    generator = ScriptedGenerator(["The capital is Paris", ". It is on the Seine."], small=True)
    found = response(await events(generator))
    assert found.answer == "The capital is Paris. [1] It is on the Seine. [1]"
    assert verdict(found) == ("generated", [])
    assert found.meta.finish_reason == "stop"
    assert pieces(found) == [("The capital is Paris.", CAPITAL, False), ("It is on the Seine.", CAPITAL, False)]


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        pytest.param("The capital is Lyon.", ["names", "words"], id="from-nowhere"),
        pytest.param("It was built in 1889.", ["numbers", "words"], id="from-another-sentence"),
        pytest.param("The capital of France.", ["nothing_new"], id="nothing-new"),
    ],
)
async def test_an_answer_that_it_does_not_bear_is_replaced_word_for_word(said: str, failed: list[Check]) -> None:
    found = response(await events(ScriptedGenerator([said], small=True)))
    assert found.answer == QUOTED
    assert verdict(found) == ("quoted", failed)
    assert found.meta.finish_reason == "quoted"
    assert found.meta.usage.completion_tokens > 0
    assert pieces(found) == [(CAPITAL, CAPITAL, True), (BREAD_THERE, BREAD_THERE, True)]


@pytest.mark.parametrize("said", ["The capital is Paris.", "Lyon."], ids=["borne", "not-borne"])
async def test_a_small_model_shows_nothing_that_is_taken_back(said: str) -> None:
    found = await events(ScriptedGenerator(list(said), small=True))
    assert streamed(found) == response(found).answer
    assert [name for name in names(found) if name != "citation"] == ["step", "meta", "token", "step", "done"]


@pytest.mark.parametrize("generator", [ScriptedGenerator(small=True), ScriptedGenerator(languages=("ru",))])
async def test_the_sources_are_told_before_the_model_is_asked(generator: ScriptedGenerator) -> None:
    stream = pipeline(generator).stream(REQUEST, RequestContext("request-1", 30))
    async for event in stream:
        if isinstance(event, MetaEvent):
            assert event.sources[0] == PARIS
            assert generator.asked == []
            break
    await stream.aclose()


async def test_text_is_held_while_a_small_model_writes() -> None:
    gate = asyncio.Event()
    stream = pipeline(ScriptedGenerator(["Paris", gate, "."], small=True)).stream(REQUEST, RequestContext("r", 30))
    seen = [await anext(stream) for _ in range(2)]
    assert names(seen) == ["step", "meta"]
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    gate.set()
    assert await waiting == TokenEvent(text="Paris. [1]")
    await stream.aclose()


async def test_a_small_model_is_given_sentences_and_the_sources_are_theirs() -> None:
    generator = ScriptedGenerator(["Paris."], small=True)
    found = await events(generator)
    prompt = generator.asked[0].messages[-1].content
    assert CAPITAL in prompt
    sources = response(found).meta.sources
    assert all(any(line in shown.text for shown in sources) for line in prompt.splitlines()[1:4])
    assert [event.sources for event in found if isinstance(event, MetaEvent)] == [sources]


async def test_marks_count_the_sources_that_are_told() -> None:
    rome = source("Rome, Rome. Rome! Rome and Rome.", 0.9, "rome")
    where = source("The museum is in Berlin. The museum opened in 1830. The museum is large.", 0.8, "museum")
    generator = ScriptedGenerator(["It opened in 1830."], small=True)
    request = RagRequest(question="When was the museum opened?")
    found = await answer(pipeline(generator, rome, where), request, RequestContext("request-1", 30))
    assert isinstance(found, RagResponse)
    assert [hit.document_id for hit in found.meta.sources] == ["museum"]
    assert found.answer == "It opened in 1830. [1]"


async def test_the_callers_context_counts_as_evidence() -> None:
    request = RagRequest(question="What is the capital of France?", context="My aunt Lucie lives there.")
    generator = ScriptedGenerator(["Paris, where aunt Lucie lives."], small=True)
    found = response(await events(generator, request))
    assert found.answer == "Paris, where aunt Lucie lives. [1]"
    assert "Lucie" in generator.asked[0].messages[-1].content


async def test_a_prompt_that_is_too_long_even_so_is_refused() -> None:
    generator = ScriptedGenerator(["Paris."], small=True, refuse_longer_than=10, too_long=TOO_LONG)
    with pytest.raises(PromptTooLong):
        await events(generator)


@pytest.mark.parametrize(
    ("said", "answer", "mode"),
    [
        pytest.param("Paris on the Seine, in 18", "Paris on the Seine, in [1]", "generated", id="number"),
        pytest.param("Paris is on the Se", "Paris is on the [1]", "generated", id="word"),
        pytest.param("The capital is Lyon on", QUOTED, "quoted", id="wrong"),
        pytest.param("Par", QUOTED, "quoted", id="no-whole-word"),
    ],
)
async def test_a_small_models_cut_answer_ends_with_its_last_whole_word(
    said: str, answer: str, mode: GroundingMode
) -> None:
    found = response(await events(CutGenerator([said], small=True)))
    assert found.answer == answer
    assert verdict(found)[0] == mode
    assert found.meta.finish_reason == ("length" if mode == "generated" else "quoted")


async def test_a_capable_model_is_heard_live_and_its_marks_are_the_citations() -> None:
    generator = ScriptedGenerator(["Paris is it [1].", " Bread needs flour [2]."])
    found = await events(generator)
    assert names(found).count("token") == 2
    assert "correction" not in names(found)
    assert verdict(response(found)) == ("generated", [])
    assert response(found).answer == streamed(found) == "Paris is it [1]. Bread needs flour [2]."
    assert [(c.source, c.verbatim) for c in response(found).meta.citations] == [(1, False), (2, True)]


async def test_a_capable_models_wrong_answer_is_corrected_before_the_citations() -> None:
    found = await events(ScriptedGenerator(["The capital", " is Lyon."]))
    told = response(found)
    assert names(found)[1:] == ["meta", "token", "token", "step", "correction", "citation", "citation", "done"]
    assert streamed(found) == "The capital is Lyon."
    assert [event.text for event in found if isinstance(event, CorrectionEvent)] == [told.answer]
    assert told.answer == QUOTED
    assert verdict(told) == ("quoted", ["names", "words"])
    assert told.meta.finish_reason == "quoted"
    assert all(verbatim for _, _, verbatim in pieces(told))
    assert [event.citation for event in found if isinstance(event, CitationEvent)] == told.meta.citations


async def test_the_plain_route_gives_the_corrected_answer() -> None:
    rag = pipeline(ScriptedGenerator(["The capital is Lyon."]))
    found = await answer(rag, REQUEST, RequestContext("request-1", 30))
    assert found.answer.startswith(f"{CAPITAL} [1]")


async def test_a_capable_model_that_says_nothing_is_replaced_without_a_correction() -> None:
    found = await events(ScriptedGenerator([]))
    assert "correction" not in names(found)
    assert streamed(found) == response(found).answer
    assert verdict(response(found)) == ("quoted", ["nothing_new"])


async def test_a_capable_model_may_say_that_the_passages_do_not_tell() -> None:
    found = response(await events(ScriptedGenerator(["The passages do not contain the answer."])))
    assert found.answer == "The passages do not contain the answer."
    assert verdict(found) == ("generated", [])


@pytest.mark.parametrize("said", ["The capital of France", "Paris was built in 18", "Par"])
async def test_a_capable_models_cut_answer_is_not_blamed_for_half_a_word(said: str) -> None:
    found = response(await events(CutGenerator([said])))
    assert (found.answer, found.meta.finish_reason) == (said, "length")
    assert verdict(found) == ("generated", [])


async def test_a_cut_answer_is_corrected_for_its_whole_words() -> None:
    found = await events(CutGenerator(["The capital is Lyon, whi"]))
    assert "correction" in names(found)


async def test_a_model_without_the_language_is_not_asked() -> None:
    generator = ScriptedGenerator(languages=("ru",))
    found = response(await events(generator))
    assert generator.asked == []
    assert verdict(found) == ("quoted", ["model_language"])
    assert pieces(found)[0] == (CAPITAL, CAPITAL, True)


async def test_a_model_that_repeats_its_prompt_says_nothing_that_it_was_not_told() -> None:
    echo = ScriptedGenerator(["Paris."])
    await events(echo)
    prompt = " ".join(echo.asked[0].messages[-1].content.split())
    assert verdict(response(await events(ScriptedGenerator([prompt])))) == ("generated", [])

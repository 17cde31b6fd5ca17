"""A small model's rag answer: written from sentences, checked against them, replaced by them where it fails."""

from __future__ import annotations

import pytest

from answerbox.contracts import DoneEvent, Event, MetaEvent, RagRequest, RagResponse, TokenEvent
from answerbox.errors import PromptTooLong
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.evidence import supported
from answerbox.pipelines.rag import RagPipeline
from answerbox.pipelines.retrieval import Retriever
from tests.doubles import MoodyEmbedder, ScriptedGenerator, ShelfStore, source

PARIS = source("Paris is the capital of France. It lies on the Seine. The tower was built in 1889.", 0.9, "paris")
BREAD = source("Bread needs flour.", 0.6, "bread")
REQUEST = RagRequest(question="What is the capital of France?")


async def events(generator: ScriptedGenerator, request: RagRequest = REQUEST) -> list[Event]:
    retriever = Retriever(MoodyEmbedder(), ShelfStore([PARIS, BREAD]))
    rag = RagPipeline(generator, retriever, 256, default_top_k=3, min_relevance=0.45, min_coverage=0.25)
    return [event async for event in rag.stream(request, RequestContext("request-1", 30))]


def response(found: list[Event]) -> RagResponse:
    assert isinstance(found[-1], DoneEvent)
    assert isinstance(found[-1].response, RagResponse)
    return found[-1].response


async def test_an_answer_that_the_sentences_bear_stands() -> None:
    generator = ScriptedGenerator(["The capital is Paris", " on the Seine."], small=True)
    found = response(await events(generator))
    assert found.answer == "The capital is Paris on the Seine."
    assert found.meta.grounding is not None
    assert found.meta.grounding.mode == "generated"
    assert found.meta.finish_reason == "stop"


async def test_an_answer_that_they_do_not_bear_is_replaced_word_for_word() -> None:
    generator = ScriptedGenerator(["The capital is Lyon."], small=True)
    found = response(await events(generator))
    assert "Paris is the capital of France. [1]" in found.answer
    assert "Lyon" not in found.answer
    assert found.meta.grounding is not None
    assert found.meta.grounding.mode == "quoted"
    assert found.meta.finish_reason == "quoted"
    assert found.meta.usage.completion_tokens > 0


async def test_a_stream_shows_nothing_that_is_taken_back() -> None:
    found = await events(ScriptedGenerator(["The capital ", "is Lyon."], small=True))
    text = "".join(event.text for event in found if isinstance(event, TokenEvent))
    assert text == response(found).answer


async def test_a_small_model_is_given_sentences_and_the_sources_are_theirs() -> None:
    generator = ScriptedGenerator(["Paris."], small=True)
    found = await events(generator)
    prompt = generator.asked[0].messages[-1].content
    assert "Paris is the capital of France." in prompt
    sources = response(found).meta.sources
    assert all(any(line in shown.text for shown in sources) for line in prompt.splitlines()[:3])
    assert [event.sources for event in found if isinstance(event, MetaEvent)] == [sources]


async def test_the_callers_context_counts_as_evidence() -> None:
    request = RagRequest(question="What is the capital of France?", context="My aunt Lucie lives there.")
    generator = ScriptedGenerator(["Paris, where aunt Lucie lives."], small=True)
    found = response(await events(generator, request))
    assert found.answer == "Paris, where aunt Lucie lives."
    assert "Lucie" in generator.asked[0].messages[-1].content


async def test_a_prompt_that_is_too_long_even_so_is_refused() -> None:
    too_long = PromptTooLong("too long", extra={"prompt_tokens": 99, "limit": 50})
    generator = ScriptedGenerator(["Paris."], small=True, refuse_longer_than=10, too_long=too_long)
    with pytest.raises(PromptTooLong):
        await events(generator)


@pytest.mark.parametrize(
    ("answer", "bears"),
    [
        pytest.param("It was built in 1889.", True, id="a-fact"),
        pytest.param("It was built in 1890.", False, id="another-number"),
        pytest.param("Gustave Eiffel built it.", False, id="a-name-from-nowhere"),
        pytest.param("When was the tower built?", False, id="the-question-again"),
        pytest.param("", False, id="nothing"),
        pytest.param("[1]", False, id="only-a-mark"),
    ],
)
def test_support_is_word_by_word(answer: str, bears: bool) -> None:
    assert supported(answer, "When was the tower built?", "The tower was built in 1889.") is bears


def test_support_knows_russian_forms() -> None:
    assert supported("Квасу нужен ржаной хлеб", "Из чего делают квас?", "Квас делают из ржаного хлеба, он нужен.")

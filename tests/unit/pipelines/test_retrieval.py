"""Finding passages, with and without vectors."""

from __future__ import annotations

import pytest

from answerbox.errors import IndexUnavailable
from answerbox.pipelines.context import ATTEMPTS, RequestContext
from answerbox.pipelines.retrieval import Retriever
from tests.doubles import MoodyEmbedder, ShelfStore, source


@pytest.fixture
def context() -> RequestContext:
    return RequestContext("r1", 30)


async def test_the_question_is_embedded_and_searched(context: RequestContext) -> None:
    embedder, store = MoodyEmbedder(), ShelfStore([source("one"), source("two")])
    found = await Retriever(embedder, store).retrieve("Who?", 1, {"team": "a"}, context)
    assert [hit.text for hit in found.sources] == ["one"]
    assert not found.by_words
    asked = store.queries[0]
    assert (asked.text, asked.top_k, asked.filter) == ("Who?", 1, {"team": "a"})
    assert asked.vector is not None
    assert embedder.embedded == ["Who?"]
    assert [step.name for step in context.steps] == ["embed", "search"]
    assert context.degraded == []


async def test_a_language_that_the_embedder_does_not_speak_is_searched_by_words(context: RequestContext) -> None:
    embedder, store = MoodyEmbedder(languages=("en",)), ShelfStore([source("one")])
    found = await Retriever(embedder, store).retrieve("Кто это?", 1, None, context)
    assert found.by_words
    assert found.sources
    assert store.queries[0].vector is None
    assert embedder.embedded == []
    assert context.degraded == []


async def test_an_embedder_that_is_down_degrades_to_words(context: RequestContext) -> None:
    embedder, store = MoodyEmbedder(down=True), ShelfStore([source("one")])
    found = await Retriever(embedder, store).retrieve("Who?", 1, None, context)
    assert found.by_words
    assert found.sources
    assert store.queries[0].vector is None
    assert context.degraded == ["vectors"]
    assert context.steps[0].retries == ATTEMPTS - 1


async def test_an_embedder_that_fails_once_is_asked_again(context: RequestContext) -> None:
    store = ShelfStore([source("one")])
    await Retriever(MoodyEmbedder(failures=1), store).retrieve("Who?", 1, None, context)
    assert store.queries[0].vector is not None
    assert context.degraded == []


async def test_an_index_that_fails_once_is_asked_again(context: RequestContext) -> None:
    store = ShelfStore([source("one")], failures=[IndexUnavailable("busy")])
    found = await Retriever(MoodyEmbedder(), store).retrieve("Who?", 1, None, context)
    assert found.sources
    assert context.steps[-1].retries == 1


async def test_an_index_that_stays_down_is_the_answer(context: RequestContext) -> None:
    store = ShelfStore(failures=[IndexUnavailable("down") for _ in range(9)])
    with pytest.raises(IndexUnavailable):
        await Retriever(MoodyEmbedder(), store).retrieve("Who?", 1, None, context)
    assert [step.name for step in context.steps] == ["embed", "search"]

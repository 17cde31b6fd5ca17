"""Finding passages, with and without vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from answerbox.contracts import SearchMode, Step
from answerbox.errors import IndexUnavailable, RerankerUnavailable
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import SearchQuery, SearchResult
from tests.doubles import ShelfStore, source


@pytest.fixture
def context() -> RequestContext:
    return RequestContext("r1", 30)


async def test_the_question_is_searched_as_it_was_asked(context: RequestContext) -> None:
    store = ShelfStore([source("one"), source("two")])
    found = await Retriever(store).retrieve("Who?", 1, {"team": "a"}, context, "ada", "vectors")
    assert [hit.text for hit in found.sources] == ["one"]
    assert not found.by_words
    assert store.queries == [SearchQuery("Who?", 1, {"team": "a"}, "ada", "vectors")]
    assert [step.name for step in context.steps] == ["search"]
    assert context.degraded == []


class SteppingStore(ShelfStore):
    """Says what it spent its time with."""

    async def search(self, query: SearchQuery) -> SearchResult:
        found = await super().search(query)
        return replace(found, steps=[Step(name="embed", start_ms=2.0, duration_ms=3.0)])


async def test_the_stores_own_steps_are_told_in_the_requests_time(context: RequestContext) -> None:
    with context.step("before"):
        pass
    await Retriever(SteppingStore([source("one")])).retrieve("Who?", 1, None, context)
    before, embed, search = context.steps
    assert (before.name, embed.name, embed.duration_ms, search.name) == ("before", "embed", 3.0, "search")
    assert embed.start_ms == pytest.approx(search.start_ms + 2.0, abs=0.06)


@pytest.mark.parametrize("mode", ["hybrid", "vectors"])
async def test_a_store_that_could_only_search_words_degrades_the_answer(
    context: RequestContext, mode: SearchMode
) -> None:
    found = await Retriever(ShelfStore([source("one")], by_words=True)).retrieve("Who?", 1, None, context, mode=mode)
    assert found.by_words
    assert found.sources
    assert context.degraded == ["vectors"]


async def test_an_index_that_fails_once_is_asked_again(context: RequestContext) -> None:
    store = ShelfStore([source("one")], failures=[IndexUnavailable("busy")])
    found = await Retriever(store).retrieve("Who?", 1, None, context)
    assert found.sources
    assert context.steps[-1].retries == 1


async def test_an_index_that_stays_down_is_the_answer(context: RequestContext) -> None:
    store = ShelfStore(failures=[IndexUnavailable("down") for _ in range(9)])
    with pytest.raises(IndexUnavailable):
        await Retriever(store).retrieve("Who?", 1, None, context)
    assert [step.name for step in context.steps] == ["search"]


async def test_an_index_that_is_restarted_is_waited_for(context: RequestContext) -> None:
    store = ShelfStore([source("one")], failures=[IndexUnavailable("down") for _ in range(4)])
    found = await Retriever(store, patience_s=30).retrieve("Who?", 1, None, context)
    assert found.sources
    assert context.steps[-1].retries == 4


class LongestFirst:
    """A `Reranker`."""

    def __init__(self, down: bool = False) -> None:
        self.down = down

    async def score(self, question: str, texts: Sequence[str]) -> list[float]:
        if self.down:
            raise RerankerUnavailable(f"The reranker is down: {question}")
        return [float(len(text)) for text in texts]


SHELF = [source("a", 0.9), source("abc", 0.5), source("ab", 0.7)]


async def test_a_reranker_chooses_from_more_passages_and_leaves_their_scores(context: RequestContext) -> None:
    store = ShelfStore(SHELF)
    found = await Retriever(store, LongestFirst()).retrieve("Who?", 2, None, context)
    assert [(hit.text, hit.score) for hit in found.sources] == [("abc", 0.5), ("ab", 0.7)]
    assert store.queries[0].top_k > 2
    assert [step.name for step in context.steps] == ["search", "rerank"]


async def test_without_its_reranker_the_order_is_the_indexs(context: RequestContext) -> None:
    found = await Retriever(ShelfStore(SHELF), LongestFirst(down=True)).retrieve("Who?", 2, None, context)
    assert found.sources == SHELF[:2]
    assert context.degraded == ["reranker"]


async def test_where_nothing_is_found_nothing_is_reranked(context: RequestContext) -> None:
    found = await Retriever(ShelfStore(), LongestFirst()).retrieve("Who?", 2, None, context)
    assert found.sources == []
    assert [step.name for step in context.steps] == ["search"]

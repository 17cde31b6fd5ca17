"""Finding passages, with and without vectors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from answerbox.contracts import SearchMode
from answerbox.errors import IndexUnavailable, RerankerUnavailable
from answerbox.pipelines.context import ATTEMPTS, RequestContext
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import SearchQuery, SearchResult
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
    assert (asked.fingerprint, asked.user_id, asked.mode) == ("moody-1", None, "hybrid")
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


async def test_who_asks_is_passed_on(context: RequestContext) -> None:
    store = ShelfStore([source("one")])
    await Retriever(MoodyEmbedder(), store).retrieve("Who?", 1, None, context, user_id="ada")
    assert store.queries[0].user_id == "ada"


async def test_a_search_by_words_asks_no_embedder(context: RequestContext) -> None:
    embedder, store = MoodyEmbedder(), ShelfStore([source("one")])
    found = await Retriever(embedder, store).retrieve("Who?", 1, None, context, mode="words")
    asked = store.queries[0]
    assert (asked.vector, asked.fingerprint, asked.mode) == (None, None, "words")
    assert found.by_words
    assert embedder.embedded == []
    assert [step.name for step in context.steps] == ["search"]


async def test_a_search_by_vectors_says_so(context: RequestContext) -> None:
    store = ShelfStore([source("one")])
    found = await Retriever(MoodyEmbedder(), store).retrieve("Who?", 1, None, context, mode="vectors")
    assert store.queries[0].mode == "vectors"
    assert store.queries[0].vector is not None
    assert not found.by_words


class HalfStore(ShelfStore):
    """Its vectors cannot be searched."""

    async def search(self, query: SearchQuery) -> SearchResult:
        found = await super().search(query)
        return SearchResult(found.sources, ["vectors"])


@pytest.mark.parametrize("down", [False, True], ids=["index", "index-and-embedder"])
@pytest.mark.parametrize("mode", ["hybrid", "vectors"])
async def test_vectors_that_the_index_lacks_are_told_once(
    context: RequestContext, down: bool, mode: SearchMode
) -> None:
    retriever = Retriever(MoodyEmbedder(down=down), HalfStore([source("one")]))
    found = await retriever.retrieve("Who?", 1, None, context, mode=mode)
    assert found.by_words
    assert found.sources
    assert context.degraded == ["vectors"]


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
    found = await Retriever(MoodyEmbedder(), store, LongestFirst()).retrieve("Who?", 2, None, context)
    assert [(hit.text, hit.score) for hit in found.sources] == [("abc", 0.5), ("ab", 0.7)]
    assert store.queries[0].top_k > 2
    assert [step.name for step in context.steps] == ["embed", "search", "rerank"]


async def test_without_its_reranker_the_order_is_the_indexs(context: RequestContext) -> None:
    found = await Retriever(MoodyEmbedder(), ShelfStore(SHELF), LongestFirst(down=True)).retrieve(
        "Who?", 2, None, context
    )
    assert found.sources == SHELF[:2]
    assert context.degraded == ["reranker"]


async def test_where_nothing_is_found_nothing_is_reranked(context: RequestContext) -> None:
    found = await Retriever(MoodyEmbedder(), ShelfStore(), LongestFirst()).retrieve("Who?", 2, None, context)
    assert found.sources == []
    assert [step.name for step in context.steps] == ["embed", "search"]

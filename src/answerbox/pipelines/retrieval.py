"""Finding passages: search, perhaps rerank."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from answerbox.contracts import SearchMode, Source
from answerbox.errors import RerankerUnavailable
from answerbox.pipelines.context import RequestContext
from answerbox.ports import DocumentStore, Reranker, SearchQuery
from answerbox.retrying import RetryBudget

RERANKER = "reranker"
"""What `degraded` names."""
RERANKED = 25
"""Passages that a reranker looks at, at least; twice as many as are asked for."""


@dataclass(frozen=True)
class Found:
    """`by_words`: the meaning was not searched, so scores are shares of the question's words only."""

    sources: list[Source]
    by_words: bool


@dataclass
class Retriever:
    """`patience_s`: how long a search waits for an index that is down, seconds."""

    store: DocumentStore
    reranker: Reranker | None = None
    patience_s: float = 0.0
    _searches: RetryBudget = field(default_factory=RetryBudget, init=False)
    _rankings: RetryBudget = field(default_factory=RetryBudget, init=False)

    async def retrieve(
        self,
        text: str,
        top_k: int,
        filter: dict[str, Any] | None,
        context: RequestContext,
        user_id: str | None = None,
        mode: SearchMode = "hybrid",
    ) -> Found:
        """At most `top_k` passages, best first.

        When the embedder or the index's vectors are down the words alone are searched, and when the reranker is down
        the order is the index's; `context.degraded` says so.

        Raises:
            IndexUnavailable, DeadlineExceeded
        """
        query = SearchQuery(
            text=text,
            top_k=max(2 * top_k, RERANKED) if self.reranker else top_k,
            filter=filter,
            user_id=user_id,
            mode=mode,
        )
        with context.step("search", "retriever") as step:
            step.input, step.parameters = text, {"top_k": query.top_k, "mode": mode, "filter": filter}
            result = await context.again(step, self._searches, lambda: self.store.search(query), self.patience_s)
            context.took(result.steps, step)
            step.output = [_seen(source) for source in result.sources]
        for part in result.degraded:
            context.degrade(part)
        sources = await self._reranked(text, result.sources, context)
        return Found(sources[:top_k], by_words=result.by_words)

    async def _reranked(self, text: str, sources: list[Source], context: RequestContext) -> list[Source]:
        """Ordered anew; scores stay what they are, for they say how relevant a passage is."""
        reranker = self.reranker
        if reranker is None or not sources:
            return sources
        with context.step("rerank", "retriever") as step:
            try:
                texts = [source.text for source in sources]
                scores = await context.again(step, self._rankings, lambda: reranker.score(text, texts))
            except RerankerUnavailable:
                context.degrade(RERANKER)
                return sources
            step.output = [round(score, 4) for score in scores]
        order = sorted(range(len(sources)), key=lambda place: -scores[place])
        return [sources[place] for place in order]


def _seen(source: Source) -> dict[str, Any]:
    """A passage as a trace shows it."""
    return source.model_dump(include={"document_id", "chunk_id", "title", "score", "text"})

"""Finding passages: embed the question where the embedding model speaks its language, then search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from answerbox.contracts import Source
from answerbox.errors import EmbedderUnavailable
from answerbox.pipelines.context import RequestContext
from answerbox.ports import DocumentStore, Embedder, SearchQuery, Vector
from answerbox.text import language_of


@dataclass(frozen=True)
class Found:
    """`by_words`: the meaning was not searched, so scores are shares of the question's words only."""

    sources: list[Source]
    by_words: bool


@dataclass
class Retriever:
    embedder: Embedder
    store: DocumentStore

    async def retrieve(self, text: str, top_k: int, filter: dict[str, Any] | None, context: RequestContext) -> Found:
        """At most `top_k` passages, best first.

        When the embedder is down the words alone are searched, and `context.degraded` says so.

        Raises:
            IndexUnavailable, DeadlineExceeded
        """
        vector = await self._vector(text, context)
        query = SearchQuery(text=text, top_k=top_k, vector=vector, filter=filter)
        with context.step("search") as step:
            sources = await context.again(step, lambda: self.store.search(query))
        return Found(sources, by_words=vector is None)

    async def _vector(self, text: str, context: RequestContext) -> Vector | None:
        with context.step("embed") as step:
            try:
                info = await context.again(step, self.embedder.info)
                language = language_of(text)
                if info.languages and language and language not in info.languages:
                    return None
                vectors = await context.again(step, lambda: self.embedder.embed([text], "query"))
            except EmbedderUnavailable:
                context.degraded.append("vectors")
                return None
        return vectors[0]

"""A search: both halves of the index, seen at one moment, as one list of passages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from answerbox import filters
from answerbox.contracts import Source
from answerbox.documents.identity import readers
from answerbox.documents.ranking import Candidate, Question, candidates, distinct
from answerbox.errors import IndexUnavailable
from answerbox.filters import Filter, Test
from answerbox.ledger import Ledger, Scope, Snapshot, StoredChunk
from answerbox.ports import SearchQuery, SearchResult, Vector

CANDIDATES = 50
"""Length of each list before fusion, at least."""
EXACT = 2_000
"""Passages that are all compared: where a filter leaves so few, a graph of all passages finds them badly and slowly."""
METADATA = "m."
"""Before the keys of a document's metadata in the vector store."""
OWNER = "owner"

Nearest = Callable[[Vector, int, Filter | None], list[tuple[str, float]]]
"""(chunk id, cosine), best first. Raises: IndexUnavailable."""


@dataclass
class Searcher:
    ledger: Ledger
    nearest: Nearest
    isolation: bool

    def search(self, query: SearchQuery, vector: Vector | None, fingerprint: str) -> SearchResult:
        """`vector` is the question's in the space of `fingerprint`. Blocking."""
        scope = self._scope(query)
        degraded: list[str] = []
        limit = max(CANDIDATES, 2 * query.top_k)
        with self.ledger.snapshot() as now:
            # After the snapshot: a vector that is gone by then belongs to no chunk of it that is looked for.
            near = self._near(now, vector, fingerprint, limit, scope, degraded) if vector else None
            ranked = _ranked(now, query, vector, near, limit, scope, fingerprint)
            stored = now.chunks([candidate.chunk_id for candidate in ranked], scope)
        documents = {id_: found.chunk.document_id for id_, found in stored.items()}
        best = distinct(ranked, documents, query.top_k)
        return SearchResult([source(stored[hit.chunk_id], hit.relevance) for hit in best], degraded)

    def _scope(self, query: SearchQuery) -> Scope:
        allowed = readers(query.user_id) if self.isolation else None
        return Scope(filters.parsed(query.filter), allowed)

    def _near(
        self, now: Snapshot, vector: Vector, fingerprint: str, limit: int, scope: Scope, degraded: list[str]
    ) -> dict[str, float] | None:
        if scope != Scope() and (few := now.scoped(scope, EXACT)) is not None:
            return _nearest_of(now.cosines(few, vector, fingerprint), limit)
        try:
            return dict(self.nearest(vector, limit, self._pushed_down(scope)))
        except IndexUnavailable:
            degraded.append("vectors")
            return None

    def _pushed_down(self, scope: Scope) -> Filter | None:
        mine = None
        if scope.readers is not None and self.ledger.has_owners():  # a filter costs Chroma 0.1 s in a large index
            mine = Test(OWNER, "$in", scope.readers)
        return filters.both(filters.prefixed(scope.filter, METADATA), mine)


def _ranked(
    now: Snapshot,
    query: SearchQuery,
    vector: Vector | None,
    near: dict[str, float] | None,
    limit: int,
    scope: Scope,
    fingerprint: str,
) -> list[Candidate]:
    question = _question(now, query.text)
    matches = [] if query.mode == "vectors" else now.match(question.terms, limit, scope)
    if near is None or vector is None:
        return candidates(question, matches, {}, by_meaning=False)
    if query.mode == "vectors":
        return _by_meaning_alone(now, question, near)
    known = {match.chunk_id for match in matches}
    others = [id_ for id_ in near if id_ not in known]
    matches += now.rows(question.terms, others)
    cosines = near | now.cosines([id_ for id_ in known if id_ not in near], vector, fingerprint)
    return candidates(question, matches, cosines, by_meaning=True)


def _question(now: Snapshot, text: str) -> Question:
    plain = Question.of(text, {})
    stems = {stem for pair in plain.pairs for stem in pair} | set(plain.terms)
    return replace(plain, weights=now.weights(sorted(stems)))


def _by_meaning_alone(now: Snapshot, question: Question, near: dict[str, float]) -> list[Candidate]:
    found = candidates(question, now.rows(question.terms, list(near)), near, by_meaning=True)
    alone = [replace(one, score=near[one.chunk_id], relevance=max(0.0, near[one.chunk_id])) for one in found]
    return sorted(alone, key=lambda one: (-one.score, one.chunk_id))


def _nearest_of(cosines: dict[str, float], limit: int) -> dict[str, float]:
    best = sorted(cosines, key=lambda id_: (-cosines[id_], id_))[:limit]
    return {id_: cosines[id_] for id_ in best}


def source(stored: StoredChunk, relevance: float) -> Source:
    chunk = stored.chunk
    return Source(
        document_id=stored.document_id,
        chunk_id=chunk.id,
        title=stored.title,
        uri=stored.uri,
        headings=list(chunk.headings),
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=relevance,
    )

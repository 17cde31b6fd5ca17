"""A search: both halves of the index, seen at one moment, as one list of passages.

The words are searched while the question is embedded and the vector store is asked, in a thread of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Barrier
from typing import Any

from answerbox import filters
from answerbox.contracts import Source, Step
from answerbox.documents.identity import readers
from answerbox.documents.ranking import Candidate, Question, candidates, distinct
from answerbox.errors import EmbedderUnavailable, IndexUnavailable
from answerbox.filters import Filter, Test
from answerbox.ledger import Ledger, Match, Scope, Snapshot, StoredChunk
from answerbox.ports import SearchQuery, SearchResult, Vector

SEARCHES = 8
"""Searches that run at the same time; most of them wait for the embedding model or the vector store."""
CANDIDATES = 50
"""Length of each list before fusion, at least."""
EXACT = 2_000
"""Passages that are all compared: where a filter leaves so few, a graph of all passages finds them badly and slowly."""
METADATA = "m."
"""Before the keys of a document's metadata in the vector store."""
OWNER = "owner"
VECTORS = "vectors"
"""What `degraded` names."""


@dataclass(frozen=True)
class Embedded:
    """A question's vector, and the fingerprint of the model that made it."""

    vector: Vector
    fingerprint: str
    detail: dict[str, float] = field(default_factory=dict)


Meaning = Callable[[], Embedded | None]
"""Waits for the question's vector; None where the model does not speak its language. Raises: EmbedderUnavailable."""
Nearest = Callable[[Embedded, int, Filter | None], list[tuple[str, float]]]
"""(chunk id, cosine), best first. Raises: IndexUnavailable."""


@dataclass
class Seen:
    """What the half that searches by meaning found; `cosines` is None where it could not look."""

    embedded: Embedded | None = None
    cosines: dict[str, float] | None = None
    failed: bool = False


@dataclass
class Steps:
    """What a search spent its time with, in milliseconds since it began."""

    done: list[Step] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Yields the step's detail, to be filled."""
        start, detail = self._now(), dict[str, Any]()
        try:
            yield detail
        finally:
            took = round(self._now() - start, 1)
            self.done.append(Step(name=name, start_ms=start, duration_ms=took, detail=detail))

    def _now(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 1)


def search_threads(name: str) -> ThreadPoolExecutor:
    """All are started now, so that a crowd later on makes the process no larger."""
    threads, everyone = ThreadPoolExecutor(SEARCHES, name), Barrier(SEARCHES)
    wait([threads.submit(everyone.wait) for _ in range(SEARCHES)])
    return threads


class Searcher:
    def __init__(self, ledger: Ledger, nearest: Nearest, isolation: bool) -> None:
        self._ledger = ledger
        self._nearest = nearest
        self._isolation = isolation
        self._threads = search_threads("meaning")

    def close(self) -> None:
        self._threads.shutdown()

    def search(self, query: SearchQuery, meaning: Meaning | None) -> SearchResult:
        """Without `meaning` only the words are searched. Blocking."""
        scope, steps = self._scope(query), Steps()
        limit = max(CANDIDATES, 2 * query.top_k)
        with self._ledger.snapshot() as now:
            few = now.scoped(scope, EXACT) if meaning and scope != Scope() else None
            # After the snapshot: a vector that is gone by then belongs to no chunk of it that is looked for.
            looking = self._threads.submit(self._look, meaning, limit, scope, few is None, steps) if meaning else None
            with steps.step("words"):
                question = _question(now, query.text)
                matches = [] if query.mode == "vectors" else now.match(question.terms, limit, scope)
            seen = looking.result() if looking else Seen()
            with steps.step("rank"):
                if seen.embedded and few is not None:
                    every = now.cosines(few, seen.embedded.vector, seen.embedded.fingerprint)
                    seen.cosines = _nearest_of(every, limit)
                ranked = _ranked(now, query, question, matches, seen)
                stored = now.chunks([candidate.chunk_id for candidate in ranked], scope)
                documents = {id_: found.chunk.document_id for id_, found in stored.items()}
                best = distinct(ranked, documents, query.top_k)
        return SearchResult(
            sources=[source(stored[hit.chunk_id], hit.relevance) for hit in best],
            degraded=[VECTORS] if seen.failed else [],
            by_words=seen.cosines is None,
            steps=steps.done,
        )

    def _scope(self, query: SearchQuery) -> Scope:
        allowed = readers(query.user_id) if self._isolation else None
        return Scope(filters.parsed(query.filter), allowed)

    def _look(self, meaning: Meaning, limit: int, scope: Scope, in_store: bool, steps: Steps) -> Seen:
        """By meaning; with `in_store` in the vector store, else the vectors of the ledger are left to be compared."""
        try:
            with steps.step("embed") as detail:
                embedded = meaning()
                detail.update(embedded.detail if embedded else {})
        except EmbedderUnavailable:
            return Seen(failed=True)
        if embedded is None or not in_store:
            return Seen(embedded)
        try:
            with steps.step("vectors"):
                return Seen(embedded, dict(self._nearest(embedded, limit, self._pushed_down(scope))))
        except IndexUnavailable:
            return Seen(embedded, failed=True)

    def _pushed_down(self, scope: Scope) -> Filter | None:
        mine = None
        if scope.readers is not None and self._ledger.has_owners():  # a filter costs Chroma 0.1 s in a large index
            mine = Test(OWNER, "$in", scope.readers)
        return filters.both(filters.prefixed(scope.filter, METADATA), mine)


def _ranked(now: Snapshot, query: SearchQuery, question: Question, matches: list[Match], seen: Seen) -> list[Candidate]:
    near, embedded = seen.cosines, seen.embedded
    if near is None or embedded is None:
        return candidates(question, matches, {}, by_meaning=False)
    if query.mode == "vectors":
        return _by_meaning_alone(now, question, near)
    known = {match.chunk_id for match in matches}
    others = [id_ for id_ in near if id_ not in known]
    more = now.rows(question.terms, others)
    missing = [id_ for id_ in known if id_ not in near]
    cosines = near | now.cosines(missing, embedded.vector, embedded.fingerprint)
    return candidates(question, [*matches, *more], cosines, by_meaning=True)


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

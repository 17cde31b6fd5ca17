"""A run as an experiment over a dataset, as tools that compare models keep one: questions that stay, scored answers.

There is a dataset for each language, since each has its own figures. Attacks are in none: they have three answers.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from answerbox.evaluation import metrics
from answerbox.evaluation.result import About, AnswerRow, Result, SearchRow
from answerbox.traces import TRACE_ID


@dataclass(frozen=True)
class Item:
    """A question of the dataset. `accepted` and `document_id` are empty where the documents do not tell."""

    question: str
    accepted: list[str]
    language: str
    document_id: str | None
    question_id: str

    @property
    def key(self) -> str:
        """Made from what is asked about which document: the same in every run, whatever the question's number."""
        told = json.dumps([self.language, self.question, self.document_id], ensure_ascii=False)
        return hashlib.sha256(told.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Score:
    """A bool is a yes or no, 1 or 0."""

    name: str
    value: float | bool


@dataclass(frozen=True)
class Tried:
    """What came of a question. `error` is a failure's code; `trace_id` has 32 hex digits."""

    item: Item
    trace_id: str
    asked_at: float
    took_ms: float = 0.0
    answer: str = ""
    error: str | None = None
    scores: list[Score] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def span_id(self) -> str:
        return span_id_of(self.trace_id)


@dataclass(frozen=True)
class Experiment:
    """All answers of one language. `about` says of which model, version and settings."""

    dataset: str
    name: str
    description: str
    about: dict[str, Any]
    tries: list[Tried]


@dataclass
class Kept:
    """How far it came: questions in the dataset (`added` of them were not there or not as now), answers, scores.

    `failures` say why the rest is missing; `url` is where people look at it.
    """

    items: int = 0
    added: int = 0
    answers: int = 0
    scores: int = 0
    url: str | None = None
    failures: list[str] = field(default_factory=list)


class Keeper(Protocol):
    """What keeps experiments; used in one event loop."""

    async def check(self) -> None:
        """Raises: AnswerboxError where it is certain or likely that nothing can be kept."""

    async def keep(self, experiment: Experiment) -> Kept:
        """Twice is once: the same questions, answers and scores are there. A failure ends it and is told."""

    async def close(self) -> None: ...


def experiments(result: Result, dataset: str, name: str) -> list[Experiment]:
    """One for each language that was answered; of a question that stands there twice the first answer."""
    languages = dict.fromkeys(row.language for row in result.answers)
    return [_experiment(result, language, f"{dataset}-{language}", name) for language in languages]


def run_name(about: About, made: str) -> str:
    """The model and the time, so that runs of one model stand together."""
    return f"{about.models.get('generator') or 'answerbox'} {made}"


def trace_parent() -> str:
    """W3C's header for a question, so that the steps of its answer stand below what `Tried` becomes."""
    trace_id = uuid.uuid4().hex
    return f"00-{trace_id}-{span_id_of(trace_id)}-01"


def span_id_of(trace_id: str) -> str:
    """16 hex digits: the span of whoever asked, told by the trace alone, since an answer says no more of it."""
    return hashlib.sha256(trace_id.encode()).hexdigest()[:16]


def _experiment(result: Result, language: str, dataset: str, name: str) -> Experiment:
    searched = {row.id: row for row in result.search if row.language == language}
    tries: dict[str, Tried] = {}
    for row in result.answers:
        if row.language == language:
            tried = _tried(row, searched.get(row.id) if row.wanted else None)
            tries.setdefault(tried.item.key, tried)
    about = result.about
    told = {"version": about.version, "machine": about.machine, **about.models, **about.options}
    return Experiment(
        dataset=dataset,
        name=name,
        description=f"answerbox eval of {about.dataset} ({language}), {len(tries)} questions, {about.made}",
        about={key: value for key, value in told.items() if value is not None},
        tries=list(tries.values()),
    )


def _tried(row: AnswerRow, searched: SearchRow | None) -> Tried:
    known = row.trace_id and TRACE_ID.fullmatch(row.trace_id)
    return Tried(
        item=Item(row.question, row.accepted, row.language, row.wanted, row.id),
        trace_id=known[0] if known else uuid.uuid4().hex,
        asked_at=row.asked_at or 0.0,
        took_ms=row.latency_ms or 0.0,
        answer=row.answer,
        error=row.error.partition(":")[0] if row.error else None,
        scores=[*_scores(row), *_search_scores(searched)],
        detail={}
        if row.error
        else {
            "mode": row.mode,
            "refused": row.refused,
            "failed_checks": row.failed_checks,
            "degraded": row.degraded,
            "sources": [source.document_id for source in row.sources],
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
        },
    )


def _scores(row: AnswerRow) -> Iterator[Score]:
    """As in the report: a request that failed is a miss, but has neither refused nor taken its time."""
    if row.wanted is not None:
        for name, of in ANSWERABLE.items():
            yield Score(name, of(row))
    if not row.error:
        yield Score("refusal_right", row.refused == (row.wanted is None))
    if row.quotes.claimed:
        yield Score("quotes_verbatim", not row.quotes.broken)
    if row.latency_ms is not None:
        yield Score("latency_ms", row.latency_ms)


def _search_scores(row: SearchRow | None) -> Iterator[Score]:
    if row:
        yield Score("hit_at_1", row.rank == 1)
        yield Score("reciprocal_rank", metrics.reciprocal(row.rank))


ANSWERABLE: dict[str, Callable[[AnswerRow], float | bool]] = {
    "contains": lambda row: row.contains,
    "exact_match": lambda row: row.exact,
    "f1": lambda row: row.f1,
    "right_source": lambda row: row.right_source,
}

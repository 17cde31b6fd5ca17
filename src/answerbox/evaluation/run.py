"""The run itself: every question is searched and asked, some at a time, and each becomes a row."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from answerbox.contracts import (
    Citation,
    LlmRequest,
    LlmResponse,
    Options,
    RagRequest,
    RagResponse,
    SearchMode,
    SearchRequest,
    SearchResponse,
)
from answerbox.errors import AnswerboxError
from answerbox.evaluation import metrics
from answerbox.evaluation.attacks import Target, attacked, targets
from answerbox.evaluation.dataset import Dataset, Language, Question, Unanswerable
from answerbox.evaluation.result import About, AnswerRow, AttackRow, Quotes, Result, SearchRow, Shown

PASSAGES = 20
"""Passages asked for in a search: a document may have several, and its rank is counted in documents."""

_MARKERS = re.compile(r"(?:\s*\[\d{1,2}\])+\s*$")

Item = TypeVar("Item")
Task = TypeVar("Task")
Row = TypeVar("Row")
Advance = Callable[[], None]


class Door(Protocol):
    """The service under test. All are called from several threads, and raise AnswerboxError."""

    def search(self, request: SearchRequest) -> SearchResponse: ...

    def ask(self, request: RagRequest) -> RagResponse: ...

    def ask_alone(self, request: LlmRequest) -> LlmResponse: ...


@dataclass(frozen=True)
class Plan:
    """What is asked. None: all questions; `top_k` and `max_tokens` as the service has them set."""

    searches: int | None = None
    answers: int | None = None
    unanswerable: int | None = None
    attacks: int | None = None
    mode: SearchMode = "hybrid"
    top_k: int | None = None
    max_tokens: int | None = None
    concurrency: int = 4


@dataclass(frozen=True)
class _Task:
    language: Language
    question: Question | Unanswerable


def count(dataset: Dataset, plan: Plan) -> int:
    """How many rows a run makes."""
    return len(_searches(dataset, plan)) + len(_asked(dataset, plan)) + len(_attacks(dataset, plan))


def run(dataset: Dataset, door: Door, plan: Plan, about: About, advance: Advance = lambda: None) -> Result:
    """A request that fails is a row with its `error`. `advance` is called after each row."""

    def search(task: _Task) -> SearchRow:
        return _search(task, door, plan)

    def ask(task: _Task) -> AnswerRow:
        return _ask(task, door, plan)

    def attack(target: Target) -> AttackRow:
        return attacked(target, door.ask, door.ask_alone, plan.max_tokens)

    return Result(
        about=about,
        search=_each(search, _searches(dataset, plan), plan.concurrency, advance),
        answers=_each(ask, _asked(dataset, plan), plan.concurrency, advance),
        attacks=_each(attack, _attacks(dataset, plan), plan.concurrency, advance),
    )


def evenly(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of them, from all over."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[place * len(items) // limit] for place in range(limit)]


def quotes(response: RagResponse) -> Quotes:
    """Checks each citation that says it is word for word against the answer and the source."""
    claims = [citation for citation in response.meta.citations if citation.verbatim]
    broken = [_describe(claim, response) for claim in claims if not _is_verbatim(claim, response)]
    return Quotes(len(claims), broken)


def _searches(dataset: Dataset, plan: Plan) -> list[_Task]:
    return [_Task(one, question) for one in dataset.languages for question in evenly(one.questions, plan.searches)]


def _asked(dataset: Dataset, plan: Plan) -> list[_Task]:
    tasks = []
    for one in dataset.languages:
        tasks += [_Task(one, question) for question in evenly(one.questions, plan.answers)]
        tasks += [_Task(one, question) for question in evenly(one.unanswerable, plan.unanswerable)]
    return tasks


def _attacks(dataset: Dataset, plan: Plan) -> list[Target]:
    return [target for one in dataset.languages for target in evenly(targets(one), plan.attacks)]


def _each(work: Callable[[Task], Row], tasks: Sequence[Task], concurrency: int, advance: Advance) -> list[Row]:
    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
                advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _search(task: _Task, door: Door, plan: Plan) -> SearchRow:
    language, question = task.language, task.question
    assert isinstance(question, Question)
    row = SearchRow(language.code, question.id, question.question, language.key(question.document_id))
    request = SearchRequest(query=question.question, top_k=PASSAGES, filter=language.condition, mode=plan.mode)
    began = time.perf_counter()
    try:
        response = door.search(request)
    except AnswerboxError as exc:
        return replace(row, error=_named(exc))
    took = _since(began)
    found = [hit.document_id for hit in response.hits]
    return replace(
        row,
        found=list(dict.fromkeys(found))[: metrics.DEPTH],
        rank=metrics.rank(found, row.wanted),
        latency_ms=took,
        degraded=response.degraded,
    )


def _ask(task: _Task, door: Door, plan: Plan) -> AnswerRow:
    row = replace(_unanswered(task), asked_at=round(time.time(), 3))
    request = RagRequest(
        question=row.question,
        context=None,
        user_id=None,
        session_id=None,
        options=Options(max_tokens=plan.max_tokens),
        top_k=plan.top_k,
        filter=task.language.condition,
    )
    began = time.perf_counter()
    try:
        response = door.ask(request)
    except AnswerboxError as exc:
        return replace(row, error=_named(exc), trace_id=exc.extra.get("trace_id"))
    return _answered(row, response, _since(began))


def _unanswered(task: _Task) -> AnswerRow:
    language, question = task.language, task.question
    if isinstance(question, Question):
        wanted = language.key(question.document_id)
        return AnswerRow(language.code, question.id, question.question, wanted, question.answers)
    return AnswerRow(language.code, question.id, question.question, None)


def _answered(row: AnswerRow, response: RagResponse, took: float) -> AnswerRow:
    meta, grounding = response.meta, response.meta.grounding
    said = (response.answer, row.accepted, row.language)
    refused = grounding.refused if grounding else False
    return replace(
        row,
        answer=response.answer,
        mode=grounding.mode if grounding else None,
        refused=refused,
        contains=not refused and metrics.contains(*said),
        exact=not refused and metrics.exact(*said),
        f1=0.0 if refused else metrics.f1(*said),
        right_source=row.wanted in {source.document_id for source in meta.sources},
        failed_checks=list(grounding.failed) if grounding else [],
        quotes=quotes(response),
        sources=[Shown(one.document_id, one.title, one.score, one.text) for one in meta.sources],
        prompt_tokens=meta.usage.prompt_tokens,
        completion_tokens=meta.usage.completion_tokens,
        latency_ms=took,
        degraded=meta.degraded,
        trace_id=meta.trace_id,
    )


def _is_verbatim(claim: Citation, response: RagResponse) -> bool:
    if claim.source > len(response.meta.sources):
        return False
    said = response.answer[claim.start : claim.end]
    stands = response.meta.sources[claim.source - 1].text[claim.source_start : claim.source_end]
    return bool(stands) and stands in (said, _MARKERS.sub("", said))


def _describe(claim: Citation, response: RagResponse) -> str:
    said = response.answer[claim.start : claim.end]
    return f"{said!r} is not {claim.source_start}:{claim.source_end} of source {claim.source}"


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)


def _named(exc: AnswerboxError) -> str:
    return f"{exc.code}: {exc}"

"""An evaluation in Langfuse: a dataset, an experiment over it, and scores, so that its own page compares two models.

Not by the SDK's `run_experiment`, which asks the questions itself and only logs what it could not send. Ids and
attributes are as it makes them: https://langfuse.com/docs/evaluation/experiments/data-model
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import httpx
from langfuse.api import (
    CreateScoreBatchResults,
    CreateScoreRequest,
    Dataset,
    DatasetItem,
    PaginatedDatasetItems,
    ScoreDataType,
)
from langfuse.api.commons.errors.not_found_error import NotFoundError
from langfuse.api.core.request_options import RequestOptions

from answerbox.adapters.langfuse_calls import PatientCalls, judged, together
from answerbox.adapters.langfuse_client import SHORT, TIMEOUT_S, failure, langfuse_api
from answerbox.adapters.otlp_backend import Outcome, langfuse_backend, span_batches
from answerbox.adapters.otlp_items import Place, expected, item_span, metadata
from answerbox.adapters.trace_spans import SpanMaker, environment
from answerbox.errors import AnswerboxError, InvalidRequest, Unavailable
from answerbox.evaluation.experiment import Experiment, Kept, Tried

PAGE = 100
"""Items of a dataset; Langfuse gives no more at a time."""
SCORES_A_REQUEST = 50
ONCE: RequestOptions = {"max_retries": 0}
"""The SDK's own repetitions are off, so that they do not multiply."""
DESCRIPTION = "Made by `answerbox eval --langfuse`."


class LangfuseExperiments:
    """The port `Keeper`. `maker` masks and cuts all texts; without `content` none are sent."""

    def __init__(
        self,
        base_url: str,
        keys: tuple[str, str],
        maker: SpanMaker,
        *,
        content: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._maker = maker
        self._content = content
        self._calls = PatientCalls(timeout_s)
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)
        self._api = langfuse_api(base_url, keys, self._client)
        self._backend = langfuse_backend(base_url, keys, timeout_s)

    async def check(self) -> None:
        """Raises: SetupError where keys or address are wrong; Unavailable where Langfuse is away or busy just now."""
        await self._calls.once(lambda: self._api.projects.get(request_options=ONCE))

    async def keep(self, experiment: Experiment) -> Kept:
        kept = Kept()
        try:
            dataset = await self._dataset(experiment.dataset)
            tries = await self._fill(dataset, experiment.tries, kept)
            await self._link(dataset, experiment, tries, kept)
            await self._score(tries, kept)
        except AnswerboxError as exc:
            kept.failures.append(str(exc))
        return kept

    async def close(self) -> None:
        self._backend.close()
        await self._client.aclose()

    async def _dataset(self, name: str) -> Dataset:
        """One that is there stays as it is."""
        found = await self._calls.asked(lambda: self._found(name))
        if found:
            return found
        return await self._calls.asked(
            lambda: self._api.datasets.create(name=name, description=DESCRIPTION, request_options=ONCE)
        )

    async def _found(self, name: str) -> Dataset | None:
        try:
            found: Dataset = await self._api.datasets.get(quote(name, safe=""), request_options=ONCE)
        except NotFoundError as exc:
            if isinstance(exc.body, dict) and "message" in exc.body:  # else it is the route that is missing
                return None
            raise
        return found

    async def _fill(self, dataset: Dataset, tries: Sequence[Tried], kept: Kept) -> list[Tried]:
        """Those whose questions are in the dataset then; a question that is there already is not sent."""
        there = {item.id: item async for item in self._items(dataset.name)}
        wanted = await asyncio.to_thread(lambda: [self._item(dataset, tried) for tried in tries])
        missing = [item for item in wanted if not self._stands(item, there.get(item["id"]))]
        kept.items = len(wanted) - len(missing)
        ends = await together([self._put(dataset.name, item, kept) for item in missing])
        refused = {item["id"] for item, taken in zip(missing, ends, strict=True) if not taken}
        return [tried for tried, item in zip(tries, wanted, strict=True) if item["id"] not in refused]

    async def _items(self, dataset_name: str) -> AsyncIterator[DatasetItem]:
        page, pages = 0, 1
        while page < pages:
            page += 1
            found = await self._calls.asked(partial(self._page, dataset_name, page))
            pages = found.meta.total_pages
            for item in found.data:
                yield item

    async def _page(self, dataset_name: str, page: int) -> PaginatedDatasetItems:
        found: PaginatedDatasetItems = await self._api.dataset_items.list(
            dataset_name=dataset_name, page=page, limit=PAGE, request_options=ONCE
        )
        return found

    def _item(self, dataset: Dataset, tried: Tried) -> dict[str, Any]:
        told: dict[str, Any] = {"input": {"question_id": tried.item.question_id}, "metadata": metadata(tried)}
        if self._content:
            told |= {"input": {"question": tried.item.question}, "expected_output": expected(tried)}
        return {"id": item_id(dataset.id, tried), **self._maker.masked(told)}

    def _stands(self, wanted: dict[str, Any], found: DatasetItem | None) -> bool:
        """Where no texts are sent, those that are there stay."""
        if found is None or not self._content:
            return found is not None
        return all(getattr(found, name) == value for name, value in wanted.items())

    async def _put(self, dataset_name: str, item: dict[str, Any], kept: Kept) -> bool:
        try:
            await self._calls.asked(
                lambda: self._api.dataset_items.create(dataset_name=dataset_name, **item, request_options=ONCE)
            )
        except InvalidRequest as exc:
            kept.failures.append(f"The question {item['metadata']['question_id']}: {exc}")
            return False
        kept.items += 1
        kept.added += 1
        return True

    async def _link(self, dataset: Dataset, experiment: Experiment, tries: Sequence[Tried], kept: Kept) -> None:
        """The answers become an experiment of Langfuse's."""
        id_ = experiment_id(dataset, experiment.name)

        def spans() -> list[Any]:
            places = [Place(id_, dataset.id, item_id(dataset.id, tried)) for tried in tries]
            pairs = zip(tries, places, strict=True)
            return [item_span(self._maker, experiment, *pair, self._content) for pair in pairs]

        for batch in span_batches(await asyncio.to_thread(spans)):
            await self._calls.again(partial(self._export, batch))
            kept.answers += len(batch)
        kept.url = f"{self._base_url}/project/{dataset.project_id}/experiments/results?baseline={id_}"

    async def _export(self, batch: Sequence[Any]) -> None:
        outcome = await asyncio.to_thread(self._backend.export, batch)
        if not outcome.taken:
            raise _lost(outcome)

    async def _score(self, tries: Sequence[Tried], kept: Kept) -> None:
        scores = [score for tried in tries for score in self._scores(tried)]
        parts = [scores[first : first + SCORES_A_REQUEST] for first in range(0, len(scores), SCORES_A_REQUEST)]
        await together([self._send(part, kept) for part in parts])

    async def _send(self, scores: list[CreateScoreRequest], kept: Kept) -> None:
        answer = await self._calls.asked(lambda: self._api.scores.create(request=scores, request_options=ONCE))
        rejected = answer.rejected if isinstance(answer, CreateScoreBatchResults) else 0
        if isinstance(answer, CreateScoreBatchResults) and rejected:
            reasons = "; ".join(dict.fromkeys(error.message for error in answer.errors))
            kept.failures.append(f"Langfuse rejected {rejected} scores: {reasons[:SHORT]}.")
        kept.scores += len(scores) - rejected

    def _scores(self, tried: Tried) -> Iterator[CreateScoreRequest]:
        for score in tried.scores:
            yield CreateScoreRequest(
                id=f"{tried.trace_id}-{score.name}",
                trace_id=tried.trace_id,
                observation_id=tried.span_id,
                name=score.name,
                value=float(score.value),
                data_type=ScoreDataType.BOOLEAN if isinstance(score.value, bool) else ScoreDataType.NUMERIC,
                environment=environment(self._maker.environment),
                timestamp=datetime.fromtimestamp(tried.asked_at, UTC),  # replaces only what has the same
            )


def item_id(dataset_id: str, tried: Tried) -> str:
    """An id is one in the whole project, and may not move to another dataset."""
    return hashlib.sha256(f"{dataset_id}/{tried.item.key}".encode()).hexdigest()[:32]


def experiment_id(dataset: Dataset, name: str) -> str:
    """As Langfuse's server and SDK make it, so that one name is one experiment."""
    told = ["langfuse-experiment-v1", dataset.project_id, dataset.id, name]
    return hashlib.sha256(json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()[:16]


def _lost(outcome: Outcome) -> AnswerboxError:
    if outcome.status:
        return judged(failure(outcome.status, headers={"retry-after": outcome.retry_after}))
    return Unavailable(f"Langfuse took no answers: {outcome}.", hint="LANGFUSE_BASE_URL is its address.")

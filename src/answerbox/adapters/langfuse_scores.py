"""Feedback as scores in Langfuse, one a request, each confirmed: its own queue would lose them without a word.

https://langfuse.com/docs/api-and-data-platform/features/public-api; the server needs v4.59 or newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
from langfuse.api import CreateScoreBatchResults, CreateScoreRequest, ScoreDataType

from answerbox.adapters.langfuse_client import SHORT, TIMEOUT_S, asking, langfuse_api
from answerbox.errors import InvalidRequest
from answerbox.feedback import NAME, Feedback


class LangfuseScores:
    """`shown`: a comment as it may leave, None where it may not; may block."""

    def __init__(
        self,
        base_url: str,
        keys: tuple[str, str],
        environment: str,
        shown: Callable[[str], str | None],
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._environment = environment
        self._shown = shown
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, follow_redirects=False)
        self._api = langfuse_api(base_url, keys, self._client)

    async def send(self, feedback: Feedback) -> None:
        score = await asyncio.to_thread(self._score, feedback)
        async with asking(self._timeout_s):
            answer = await self._api.scores.create(request=[score], request_options={"max_retries": 0})
        if isinstance(answer, CreateScoreBatchResults) and answer.rejected:
            reasons = "; ".join(error.message for error in answer.errors)
            raise InvalidRequest(f"Langfuse rejected it: {reasons[:SHORT]}.")

    async def close(self) -> None:
        await self._client.aclose()

    def _score(self, feedback: Feedback) -> CreateScoreRequest:
        comment = self._shown(feedback.comment) if feedback.comment else None
        more = {"comment": comment, "metadata": {"user_id": feedback.user_id} if feedback.user_id else None}
        return CreateScoreRequest(
            id=feedback.score_id,
            trace_id=feedback.trace_id,
            name=NAME,
            value=feedback.score,
            data_type=ScoreDataType.NUMERIC,
            environment=self._environment,
            timestamp=datetime.fromtimestamp(feedback.given_at, UTC),  # replaces only what has the same
            **{name: value for name, value in more.items() if value is not None},  # else it would be sent as null
        )

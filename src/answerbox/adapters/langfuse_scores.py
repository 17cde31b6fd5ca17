"""Feedback as scores in Langfuse, one a request, each confirmed: its own queue would lose them without a word.

https://langfuse.com/docs/api-and-data-platform/features/public-api; the server needs v4.59 or newer.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from langfuse.api import CreateScoreBatchResults, CreateScoreRequest, ScoreDataType
from langfuse.api.core.api_error import ApiError

from answerbox.adapters.langfuse_client import TIMEOUT_S, langfuse_api
from answerbox.errors import AnswerboxError, InvalidRequest, Unavailable
from answerbox.feedback import NAME, Feedback

SHORT = 200
"""Longest text of Langfuse's that is repeated."""
REFUSALS = (400, 413, 422)
HINTS = {
    401: "Check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.",
    403: "Check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and what they may do.",
    429: "It takes no more just now.",
}
WRONG_PLACE = "Check LANGFUSE_BASE_URL: there must be a Langfuse of v4.59 or newer."


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
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._api.scores.create(request=[score], request_options={"max_retries": 0})
        except ApiError as exc:
            raise _failure(exc) from None
        except TimeoutError:
            raise Unavailable(f"Langfuse did not answer within {self._timeout_s:g} s.") from None
        except httpx.TransportError as exc:
            raise Unavailable(
                f"Langfuse cannot be reached ({type(exc).__name__}).", hint="LANGFUSE_BASE_URL is its address."
            ) from None
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


def _failure(exc: ApiError) -> AnswerboxError:
    status = exc.status_code or 0
    if status in REFUSALS:
        return InvalidRequest(f"Langfuse refused it with HTTP {status}{_reason(exc.body)}.")
    hint = HINTS.get(status) or (None if status >= 500 or status == 408 else WRONG_PLACE)
    wait_s = _retry_after_s((exc.headers or {}).get("retry-after", ""))
    return Unavailable(f"Langfuse answered HTTP {status}.", hint=hint, extra={"retry_after_s": wait_s})


def _reason(body: Any) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return f": {message[:SHORT]}" if isinstance(message, str) else ""


def _retry_after_s(value: str) -> float:
    """Seconds or a date (RFC 9110, 10.2.3); 0 where it is neither."""
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0

"""Langfuse's API, without the SDK's threads and queues: https://langfuse.com/docs/api-and-data-platform."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from langfuse.api import AsyncLangfuseAPI
from langfuse.api.core.api_error import ApiError

from answerbox.errors import AnswerboxError, BadUpstream, InvalidRequest, Unavailable

TIMEOUT_S = 3.0
SHORT = 200
"""Longest text of Langfuse's that is repeated."""
REFUSALS = (400, 413, 422)
HINTS = {
    401: "Check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY.",
    403: "Check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, and what they may do.",
    429: "It takes no more just now.",
}
WRONG_PLACE = "Check LANGFUSE_BASE_URL: there must be a Langfuse of v4.59 or newer."


def langfuse_api(base_url: str, keys: tuple[str, str], client: httpx.AsyncClient) -> AsyncLangfuseAPI:
    """`keys`: the public and the secret one. Whoever made the client closes it."""
    public_key, secret_key = keys
    return AsyncLangfuseAPI(
        base_url=base_url.rstrip("/"),
        username=public_key,
        password=secret_key,
        x_langfuse_public_key=public_key,
        httpx_client=client,
    )


@asynccontextmanager
async def asking(timeout_s: float) -> AsyncIterator[None]:
    """One call, within that time.

    Raises:
        InvalidRequest: Langfuse refuses what it was given.
        Unavailable: it does not answer, or not now, or refuses the keys; `extra` has `status` and `retry_after_s`.
        BadUpstream: its answer is not what its API says.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except ApiError as exc:
        raise failure(exc.status_code or 0, exc.body, exc.headers or {}) from None
    except TimeoutError:
        raise Unavailable(f"Langfuse did not answer within {timeout_s:g} s.") from None
    except (httpx.RequestError, httpx.InvalidURL) as exc:
        raise Unavailable(
            f"Langfuse cannot be reached ({type(exc).__name__}).", hint="LANGFUSE_BASE_URL is its address."
        ) from None
    except ValueError as exc:
        raise BadUpstream("Langfuse's answer is not what its API says.", hint=WRONG_PLACE) from exc


def failure(status: int, body: Any = None, headers: dict[str, str] | None = None) -> AnswerboxError:
    """What an answer of that status means."""
    if status in REFUSALS:
        return InvalidRequest(f"Langfuse refused it with HTTP {status}{_reason(body)}.")
    hint = HINTS.get(status) or (None if status >= 500 or status == 408 else WRONG_PLACE)
    wait_s = _retry_after_s((headers or {}).get("retry-after", ""))
    return Unavailable(
        f"Langfuse answered HTTP {status}.", hint=hint, extra={"status": status, "retry_after_s": wait_s}
    )


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

"""How an idempotent step is done again where a part was unavailable: exponential backoff with full jitter."""

from __future__ import annotations

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from answerbox.errors import Unavailable

ATTEMPTS = 3


def retrying() -> AsyncRetrying:
    """For `async for attempt in retrying()`; raises the last Unavailable where none was the last."""
    return AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.1, max=1.0),
        reraise=True,
    )

"""What travels with one request through a pipeline: its id, its deadline, the record of its steps."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from answerbox.contracts import Step
from answerbox.errors import Unavailable
from answerbox.pipelines.deadline import Deadline

T = TypeVar("T")
ATTEMPTS = 3


class RequestContext:
    def __init__(self, request_id: str, timeout_s: float) -> None:
        self.request_id = request_id
        self.deadline = Deadline(timeout_s)
        self.steps: list[Step] = []
        self.degraded: list[str] = []
        self._began = time.perf_counter()

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._began) * 1000, 1)

    def degrade(self, what: str) -> None:
        """Notes what did not work as it should, once."""
        if what not in self.degraded:
            self.degraded.append(what)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Records a step, also one that fails."""
        step = Step(name=name, start_ms=self.elapsed_ms(), duration_ms=0)
        try:
            yield step
        finally:
            step.duration_ms = round(self.elapsed_ms() - step.start_ms, 1)
            self.steps.append(step)

    async def again(self, step: Step, work: Callable[[], Awaitable[T]]) -> T:
        """Runs an idempotent step, again where a part was unavailable, never past the deadline.

        Exponential backoff with full jitter.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            reraise=True,
        )

        async def attempts() -> T:
            async for attempt in retrying:
                with attempt:
                    step.retries = attempt.retry_state.attempt_number - 1
                    return await work()
            raise AssertionError("tenacity either returns or raises")

        return await self.deadline.run(attempts())

"""What travels with one request through a pipeline: its id, its deadline, the record of its steps."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from answerbox.contracts import Step
from answerbox.pipelines.deadline import Deadline
from answerbox.retrying import RetryBudget, retrying

T = TypeVar("T")


class RequestContext:
    def __init__(self, request_id: str, timeout_s: float, began: float | None = None) -> None:
        """`began` is when the time began to run, by `time.monotonic`; now without one."""
        self.request_id = request_id
        self.deadline = Deadline(timeout_s, began)
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

    def took(self, steps: Iterable[Step], began_ms: float) -> None:
        """Records what a part says that it did; its own clock began at `began_ms`."""
        self.steps += [step.model_copy(update={"start_ms": round(began_ms + step.start_ms, 1)}) for step in steps]

    async def again(self, step: Step, budget: RetryBudget, work: Callable[[], Awaitable[T]]) -> T:
        """Runs an idempotent step, again where a part was unavailable, never past the deadline."""

        async def attempts() -> T:
            async for attempt in retrying(budget):
                with attempt:
                    step.retries = attempt.retry_state.attempt_number - 1
                    return await work()
            raise AssertionError("tenacity either returns or raises")

        return await self.deadline.run(attempts())

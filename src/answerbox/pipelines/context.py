"""What travels with one request through a pipeline: its id, its deadline, the record of what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from answerbox.contracts import Step
from answerbox.pipelines.deadline import Deadline
from answerbox.ports import Prompt
from answerbox.retrying import RetryBudget, retrying
from answerbox.traces import Kind, Observation, Trace, trace_of

T = TypeVar("T")

_around: ContextVar[Observation | None] = ContextVar("around", default=None)
"""The step that others are inside of."""


class RequestContext:
    def __init__(
        self, request_id: str, timeout_s: float, began: float | None = None, trace: Trace | None = None
    ) -> None:
        """`began` is when the time began to run, by `time.monotonic`; now without one.

        `prompt` is the system prompt that the model was last given.
        """
        self.request_id = request_id
        self.deadline = Deadline(timeout_s, began)
        self.trace = trace or trace_of("request", request_id)
        self.prompt: Prompt | None = None
        self.steps: list[Step] = []

    @property
    def prompt_used(self) -> str | None:
        """`name@version` of an operator's own prompt."""
        used = self.prompt
        return f"{used.name}@{used.version}" if used and used.version is not None else None

    @property
    def degraded(self) -> list[str]:
        return self.trace.degraded

    def elapsed_ms(self) -> float:
        return self.trace.elapsed_ms()

    def degrade(self, what: str) -> None:
        """Notes what did not work as it should, once."""
        if what not in self.degraded:
            self.degraded.append(what)

    @contextmanager
    def step(self, name: str, kind: Kind = "span") -> Iterator[Observation]:
        """Records a step, also one that fails."""
        try:
            with self.trace.step(name, kind, _around.get()) as step:
                yield step
        finally:
            self.steps.append(step.as_step())

    @contextmanager
    def inside(self, step: Observation) -> Iterator[None]:
        """Steps of this task that begin in the block are inside of that one in the trace."""
        token = _around.set(step)
        try:
            yield
        finally:
            _around.reset(token)

    def took(self, steps: Iterable[Step], within: Observation) -> None:
        """Records what a part says that it did within the step."""
        self.steps += [step.as_step() for step in self.trace.took(steps, within)]

    async def again(
        self, step: Observation, budget: RetryBudget, work: Callable[[], Awaitable[T]], patience_s: float = 0.0
    ) -> T:
        """Runs an idempotent step, again where a part was unavailable, never past the deadline."""

        async def attempts() -> T:
            async for attempt in retrying(budget, patience_s=patience_s):
                with attempt:
                    step.retries = attempt.retry_state.attempt_number - 1
                    return await work()
            raise AssertionError("tenacity either returns or raises")

        return await self.deadline.run(attempts())

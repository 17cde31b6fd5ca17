"""What happened during one request, step by step: its line in the log, the metrics and its trace are made from this.

It is written down as plain data while the request runs and handed out when that has ended. So nothing that becomes of
it can slow or break an answer, and streams, failures and steps of other processes need no special way.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from answerbox.contracts import Step
from answerbox.errors import AnswerboxError, InternalError

Kind = Literal["span", "chain", "agent", "retriever", "embedding", "generation", "tool", "guardrail"]
"""As Langfuse names them: https://langfuse.com/docs/observability/features/observation-types"""

CANCELLED = "cancelled"
"""The `error` of a step whose caller has gone."""
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
TRACEPARENT = re.compile(rf"[0-9a-f]{{2}}-({TRACE_ID.pattern})-((?!0{{16}})[0-9a-f]{{16}})-[0-9a-f]{{2}}(-.*)?")
"""https://www.w3.org/TR/trace-context/#traceparent-header"""


class Named(Protocol):
    """A prompt, as far as a trace tells of it; `version` is None for the words that stand in the code."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int | None: ...


@dataclass
class Observation:
    """A step. Times are milliseconds since the trace began; `error` is the code of the failure that ended it.

    `usage` has `input`, `output` and `total`, in tokens; `detail` whatever else a part tells of its work, such as
    `queue_ms`, `batch`; `first_token_ms` is when the first text was there.
    """

    name: str
    kind: Kind
    start_ms: float
    parent: Observation | None = None
    duration_ms: float = 0.0
    input: Any = None
    output: Any = None
    model: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    first_token_ms: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    prompt: Named | None = None
    retries: int = 0
    error: str | None = None

    def as_step(self) -> Step:
        """What the caller is told of it."""
        return Step(
            name=self.name,
            start_ms=self.start_ms,
            duration_ms=self.duration_ms,
            retries=self.retries,
            detail=self.detail,
        )


@dataclass
class Trace:
    """`trace_id`: 32 hex digits; `parent_id`: the span of a caller that traces, 16 hex digits.

    `began_at` is in seconds since 1970. `status` is the HTTP status in the end (499 where the client has gone, as
    nginx has it), 0 before. `observations` holds the root first.
    """

    name: str
    request_id: str
    trace_id: str
    parent_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    tags: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    status: int = 0
    began_at: float = field(default_factory=time.time)
    observations: list[Observation] = field(default_factory=list)
    _clock: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.observations.append(Observation("", "span", 0.0))

    @property
    def root(self) -> Observation:
        return self.observations[0]

    @property
    def tokens(self) -> int:
        """What its generations have cost so far."""
        return sum(each.usage.get("total", 0) for each in self.observations if each.kind == "generation")

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._clock) * 1000, 1)

    @contextmanager
    def step(self, name: str, kind: Kind = "span", parent: Observation | None = None) -> Iterator[Observation]:
        """Records a step, also one that fails; inside the root where there is no parent."""
        step = Observation(name, kind, self.elapsed_ms(), parent or self.root)
        self.observations.append(step)
        try:
            yield step
        except BaseException as exc:
            step.error = code_of(exc)
            raise
        finally:
            step.duration_ms = round(self.elapsed_ms() - step.start_ms, 1)

    def took(self, steps: Iterable[Step], within: Observation) -> list[Observation]:
        """Records what another process says that it did; its clock began with the step `within`."""
        found = [
            Observation(
                step.name,
                KINDS.get(step.name, "span"),
                round(within.start_ms + step.start_ms, 1),
                within,
                step.duration_ms,
                retries=step.retries,
                detail=dict(step.detail),
            )
            for step in steps
        ]
        self.observations += found
        return found

    def end(self, status: int, error: AnswerboxError | None = None) -> None:
        self.status = status
        self.root.name = self.name
        self.root.duration_ms = self.elapsed_ms()
        if error:
            self.root.error = error.code


KINDS: dict[str, Kind] = {"embed": "embedding", "vectors": "retriever", "words": "retriever"}
"""Of the steps inside a search."""


def code_of(exc: BaseException) -> str:
    if isinstance(exc, AnswerboxError):
        return exc.code
    return CANCELLED if isinstance(exc, asyncio.CancelledError | GeneratorExit) else InternalError.code


def trace_of(name: str, request_id: str, traceparent: str = "") -> Trace:
    """The trace of a request: the caller's own, where it sends a valid `traceparent`, else one that its id tells."""
    found = TRACEPARENT.fullmatch(traceparent)
    if found and not traceparent.startswith("ff"):
        return Trace(name, request_id, found[1], parent_id=found[2])
    return Trace(name, request_id, trace_id_of(request_id))


def trace_id_of(request_id: str) -> str:
    """The same as `Langfuse.create_trace_id(seed=request_id)`, but an id that has the form of one is one."""
    if TRACE_ID.fullmatch(request_id):
        return request_id
    return hashlib.sha256(request_id.encode()).digest()[:16].hex()

"""One HTTP exchange: what the edge knows of it and the code below may ask."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from answerbox.errors import AnswerboxError, NotReady
from answerbox.pipelines.deadline import Deadline
from answerbox.service.caller import ANYBODY, Caller
from answerbox.traces import Trace, trace_of

T = TypeVar("T")


class ClientGone(Exception):
    """The client has hung up; nobody is left to be told."""


@dataclass
class Exchange:
    """`timeout_s` is counted from when the request began; `tokens` is what its answer says that it has cost.

    `is_traced`: models have worked for it, where the path does not tell so.

    `closing` is set when the process may work no longer, `disconnected` when the client has gone, `gone` when that
    ended the work. `error` is what the client is told of a failure, in a stream too. `takes_stream` is called where
    only the body says that the answer is a stream; it raises RateLimited.
    """

    request_id: str
    path: str
    timeout_s: float
    traceparent: str = ""
    caller: Caller = ANYBODY
    tokens: int = 0
    is_form: bool = False
    is_traced: bool = False
    began: float = field(default_factory=time.monotonic)
    path_values: dict[str, str] = field(default_factory=dict)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    takes_stream: Callable[[], None] = lambda: None
    let_in: bool = False
    gone: bool = False
    error: AnswerboxError | None = None
    trace: Trace = field(init=False)

    def __post_init__(self) -> None:
        self.trace = trace_of("request", self.request_id, self.traceparent)

    @property
    def cost(self) -> int:
        """Tokens, also where there was no answer in the end: a reader who hangs up has used the model too."""
        return max(self.tokens, self.trace.tokens)

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.began + self.timeout_s - time.monotonic())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which is cancelled when the client hangs up: BentoML would let it run on.

        Raises:
            ClientGone
            NotReady: the process is closing.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.disconnected.wait())
        closing = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait({task, gone, closing}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise ClientGone if gone.done() else stopping()
        finally:
            for pending in (task, gone, closing):
                pending.cancel()
            with contextlib.suppress(BaseException):
                await task

    @asynccontextmanager
    async def while_open(self) -> AsyncIterator[None]:
        """Ends the block when the process is closing. Raises: NotReady."""
        try:
            async with asyncio.timeout(None) as limit:
                watching = asyncio.create_task(self._expire(limit))
                try:
                    yield
                finally:
                    watching.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            raise stopping() from None

    async def _expire(self, limit: asyncio.Timeout) -> None:
        await self.closing.wait()
        limit.reschedule(0)


def stopping() -> NotReady:
    return NotReady("The service is being stopped.", hint="Send the request again; another copy will take it.")


current: ContextVar[Exchange] = ContextVar("exchange")


async def within_deadline(work: Coroutine[Any, Any, T]) -> T:
    """The result of work for the present exchange. Raises: DeadlineExceeded, and as `Exchange.run` does."""
    this = current.get()
    return await this.run(Deadline(this.timeout_s, this.began).run(work))

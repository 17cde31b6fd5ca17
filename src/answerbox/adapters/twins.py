"""Several services with one model behind one port: the least busy one is asked, and another one where that is lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from answerbox.errors import AnswerboxError, BadUpstream, GeneratorUnavailable, NotReady, Overloaded, Unavailable
from answerbox.ports import (
    Embedder,
    EmbedderInfo,
    Finish,
    GenerationRequest,
    Generator,
    GeneratorInfo,
    Piece,
    TextKind,
    Vectors,
)

log = logging.getLogger(__name__)

REST_S = 1.0
"""Between two looks at a service that is lost."""
PROBE_S = 2.0
"""Less than a probe of all of them may take (`service/health.py`), so that one that hangs does not hide the others."""


class Probed(Protocol):
    async def probe(self) -> dict[str, Any]: ...


class GeneratorTwin(Generator, Probed, Protocol):
    async def close(self) -> None: ...


class EmbedderTwin(Embedder, Probed, Protocol):
    async def measure(self, texts: Sequence[str], kind: TextKind) -> tuple[list[int], int]: ...


T = TypeVar("T")
PortT = TypeVar("PortT", bound=Probed)


@dataclass
class _Twin(Generic[PortT]):
    port: PortT
    busy: int = 0
    turn: int = 0
    lost: bool = False


class _Twins(Generic[PortT]):
    def __init__(self, ports: Sequence[PortT], rest_s: float) -> None:
        self._all = [_Twin(port) for port in ports]
        self._rest_s = rest_s
        self._turns = 0
        self._watching: set[asyncio.Task[None]] = set()

    def in_turn(self) -> Iterator[_Twin[PortT]]:
        """Each once, the best first: one that is not lost, has least to do, and was not asked for longest."""
        left = list(self._all)
        while left:
            best = min(left, key=lambda twin: (twin.lost, twin.busy, twin.turn))
            left.remove(best)
            self._turns += 1
            best.turn = self._turns
            yield best

    @contextmanager
    def work_of(self, twin: _Twin[PortT]) -> Iterator[PortT]:
        """Notes in the block what it has to do, and whether it is lost."""
        twin.busy += 1
        try:
            yield twin.port
        except (NotReady, Overloaded):
            raise
        except Unavailable as exc:
            self._lose(twin, exc)
            raise
        finally:
            twin.busy -= 1

    def _lose(self, twin: _Twin[PortT], failure: Unavailable) -> None:
        """From now on it is asked only where no other one answers, until it can be probed again."""
        if not twin.lost:
            log.warning("one of %d is lost: %s", len(self._all), failure.code)
            twin.lost = True
            watching = asyncio.create_task(self._watch(twin), context=Context())
            self._watching.add(watching)
            watching.add_done_callback(self._watching.discard)

    async def _watch(self, twin: _Twin[PortT]) -> None:
        while twin.lost:
            await asyncio.sleep(self._rest_s)
            with suppress(AnswerboxError, TimeoutError):
                await _in_time(self._probed(twin))
        log.warning("one of %d works again", len(self._all))

    def close(self) -> None:
        for watching in self._watching:
            watching.cancel()

    async def first(self, ask: Callable[[PortT], Awaitable[T]]) -> T:
        """The answer of the first one that gives one. Raises: the last failure."""
        failure: Unavailable | None = None
        for twin in self.in_turn():
            try:
                with self.work_of(twin) as port:
                    return await ask(port)
            except Unavailable as exc:
                failure = exc
        assert failure
        raise failure

    async def _probed(self, twin: _Twin[PortT]) -> dict[str, Any]:
        answer = await twin.port.probe()
        twin.lost = False
        return answer

    async def each(self, ask: Callable[[_Twin[PortT]], Awaitable[T]]) -> list[T]:
        """The answers of those that give one in time. Raises: a failure, where none does."""
        found = await asyncio.gather(*(_in_time(ask(twin)) for twin in self._all), return_exceptions=True)
        if answers := [answer for answer in found if not isinstance(answer, BaseException)]:
            return answers
        raise next(answer for answer in found if isinstance(answer, BaseException))

    async def probe(self) -> dict[str, Any]:
        """What one that works says of itself, and how many work; whoever answers is not lost any more."""
        answers = await self.each(self._probed)
        return {**answers[0], "working": len(answers), "twins": len(self._all)}


class TwinGenerators:
    """A generation whose service is lost begins anew at another one; what has been said already is not said again.

    That is so where the other one says the same, as models do at temperature 0 or with a `seed`; else the generation
    fails.
    """

    def __init__(
        self,
        generators: Sequence[GeneratorTwin],
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._generators = generators
        self._clock = clock
        self._twins = _Twins(generators, rest_s)

    async def info(self) -> GeneratorInfo:
        return await self._twins.first(lambda generator: generator.info())

    async def probe(self) -> dict[str, Any]:
        return await self._twins.probe()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        began, said = self._clock(), ""
        failure: Unavailable | None = None
        for twin in self._twins.in_turn():
            try:
                with self._twins.work_of(twin) as generator:
                    async with aclosing(generator.generate(_with_less_time(request, self._clock() - began))) as items:
                        async for item in _beyond(said, items):
                            said += item.text if isinstance(item, Piece) else ""
                            yield item
                return
            except Unavailable as exc:
                failure = exc
        assert failure
        raise failure

    async def cancel(self, request_id: str) -> bool:
        try:
            return any(await self._twins.each(lambda twin: twin.port.cancel(request_id)))
        except TimeoutError:
            raise GeneratorUnavailable("The language model does not answer.") from None

    async def close(self) -> None:
        self._twins.close()
        for generator in self._generators:
            await generator.close()


class TwinEmbedders:
    def __init__(self, embedders: Sequence[EmbedderTwin], rest_s: float = REST_S) -> None:
        self._twins = _Twins(embedders, rest_s)

    async def info(self) -> EmbedderInfo:
        return await self._twins.first(lambda embedder: embedder.info())

    async def probe(self) -> dict[str, Any]:
        return await self._twins.probe()

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        return await self._twins.first(lambda embedder: embedder.embed(texts, kind))

    async def measure(self, texts: Sequence[str], kind: TextKind) -> tuple[list[int], int]:
        return await self._twins.first(lambda embedder: embedder.measure(texts, kind))


def _with_less_time(request: GenerationRequest, gone_s: float) -> GenerationRequest:
    return request if request.timeout_s is None else replace(request, timeout_s=max(0.0, request.timeout_s - gone_s))


async def _beyond(said: str, items: AsyncIterator[Piece | Finish]) -> AsyncIterator[Piece | Finish]:
    """Without the beginning that has been said already.

    Raises:
        BadUpstream: it begins otherwise.
    """
    left = said
    async for item in items:
        if isinstance(item, Piece) and left:
            shared = min(len(left), len(item.text))
            if item.text[:shared] != left[:shared]:
                raise BadUpstream("The language model was lost in the middle of its answer.")
            left, rest = left[shared:], item.text[shared:]
            if rest:
                yield Piece(rest)
        elif left and isinstance(item, Finish) and item.reason in ("stop", "length"):
            raise BadUpstream("The language model was lost in the middle of its answer.")
        else:
            yield item


async def _in_time(answer: Awaitable[T]) -> T:
    async with asyncio.timeout(PROBE_S):
        return await answer

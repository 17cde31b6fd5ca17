"""Several services with one model behind one port: the least busy one is asked, and another one where that is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from answerbox.breaker import Breaker
from answerbox.errors import BadUpstream, Unavailable
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
    breaker: Breaker
    busy: int = 0
    turn: int = 0

    @contextmanager
    def at_work(self) -> Iterator[PortT]:
        """Raises: the last failure again, while it rests."""
        self.busy += 1
        try:
            with self.breaker.around():
                yield self.port
        finally:
            self.busy -= 1


class _Twins(Generic[PortT]):
    def __init__(self, ports: Sequence[PortT], clock: Callable[[], float]) -> None:
        self._all = [_Twin(port, Breaker(failures=1, clock=clock)) for port in ports]
        self._turns = 0

    def in_turn(self) -> Iterator[_Twin[PortT]]:
        """Each once, the best first: one that does not rest, has least to do, and was not asked for longest."""
        left = list(self._all)
        while left:
            best = min(left, key=lambda twin: (twin.breaker.rests, twin.busy, twin.turn))
            left.remove(best)
            self._turns += 1
            best.turn = self._turns
            yield best

    async def first(self, ask: Callable[[PortT], Awaitable[T]]) -> T:
        """The answer of the first one that gives one. Raises: the last failure."""
        failure: Unavailable | None = None
        for twin in self.in_turn():
            try:
                with twin.at_work() as port:
                    return await ask(port)
            except Unavailable as exc:
                failure = exc
        assert failure
        raise failure

    async def each(self, ask: Callable[[PortT], Awaitable[T]]) -> list[T]:
        """The answers of those that give one in time. Raises: a failure, where none does."""
        found = await asyncio.gather(*(_in_time(ask(twin.port)) for twin in self._all), return_exceptions=True)
        if answers := [answer for answer in found if not isinstance(answer, BaseException)]:
            return answers
        raise next(answer for answer in found if isinstance(answer, BaseException))

    async def probe(self) -> dict[str, Any]:
        """What one that works says of itself, and how many work."""
        answers = await self.each(lambda port: port.probe())
        return {**answers[0], "working": len(answers), "twins": len(self._all)}


class TwinGenerators:
    """A generation whose service is lost begins anew at another one; what has been said already is not said again.

    That is so where the other one says the same, as models do at temperature 0 or with a `seed`; else the generation
    fails.
    """

    def __init__(self, generators: Sequence[GeneratorTwin], clock: Callable[[], float] = time.monotonic) -> None:
        self._generators = generators
        self._clock = clock
        self._twins = _Twins(generators, clock)

    async def info(self) -> GeneratorInfo:
        return await self._twins.first(lambda generator: generator.info())

    async def probe(self) -> dict[str, Any]:
        return await self._twins.probe()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Piece | Finish, None]:
        began, said = self._clock(), ""
        failure: Unavailable | None = None
        for twin in self._twins.in_turn():
            try:
                with twin.at_work() as generator:
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
        return any(await self._twins.each(lambda generator: generator.cancel(request_id)))

    async def close(self) -> None:
        for generator in self._generators:
            await generator.close()


class TwinEmbedders:
    def __init__(self, embedders: Sequence[EmbedderTwin], clock: Callable[[], float] = time.monotonic) -> None:
        self._twins = _Twins(embedders, clock)

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

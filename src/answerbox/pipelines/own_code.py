"""Code that is not ours, a function or a generator, blocking or not: loaded, called, and ended one item at a time."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from answerbox.errors import AnswerboxError, InternalError, NotReady

log = logging.getLogger(__name__)
T = TypeVar("T")
RunModel = Callable[[dict[str, Any]], Any]

END = object()
CLOSE_S = 5.0
FAILED = "The service's own run_model failed."
NO_ANSWER = "The service's own run_model did not return a dict with a text `answer`."
NO_PIECE = "The service's own run_model made something that is neither text nor a dict."


class OwnCode:
    """A function of the operator's own.

    What blocks has a thread to itself for as long as it runs, also past its deadline and after its caller has gone;
    the next call waits for a free one. The function is loaded in the first of the threads: with one, what belongs to
    a thread (a connection to SQLite) can be opened while the module is imported. What is `async` runs in the loop.
    """

    def __init__(self, load: Callable[[], RunModel], threads: int = 1) -> None:
        self._seats = [Seat() for _ in range(threads)]
        self._free: asyncio.Queue[Seat] = asyncio.Queue()
        for seat in self._seats:
            self._free.put_nowait(seat)
        self._loading = self._seats[0].submit(load)

    async def loaded(self) -> None:
        """Waits. Raises: what the loading raised."""
        await asyncio.wrap_future(self._loading)

    def close(self) -> None:
        """Its threads end when nothing runs in them any more."""
        for seat in self._seats:
            seat.end()

    async def items(self, request: dict[str, Any]) -> AsyncGenerator[str | dict[str, Any], None]:
        """The dict that a function returns, or what a generator yields: text, dicts.

        Closing this closes the generator where it stands; a function that blocks cannot be ended, and runs on unseen.

        Raises:
            NotReady: it is still being loaded.
            AnswerboxError: as the code raised it.
            InternalError: whatever else it raised, or what it made is of another type.
        """
        if not self._loading.done():
            raise NotReady("The service's own run_model is being loaded.", hint="Try again in a few seconds.")
        function = self._loading.result()
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            made = _made_in_loop(function(request))
        else:
            made = self._made_in_thread(function, request)
        async with aclosing(made):
            async for item in made:
                yield item

    async def _made_in_thread(
        self, function: RunModel, request: dict[str, Any]
    ) -> AsyncGenerator[str | dict[str, Any], None]:
        within = copy_context().run
        async with self._seat() as seat:
            result = await seat.do(partial(within, function, request))
            if isinstance(result, Iterator):
                try:
                    while (item := await seat.do(partial(within, next, result, END))) is not END:
                        yield _piece(item)
                finally:
                    seat.submit(partial(within, _close, result))
            elif isinstance(result, AsyncIterator) or inspect.isawaitable(result):
                async with aclosing(_made_in_loop(result)) as made:
                    async for item in made:
                        yield item
            else:
                yield _returned(result)

    @asynccontextmanager
    async def _seat(self) -> AsyncIterator[Seat]:
        """A thread, which is free again when it has done all that it was given in the block."""
        seat = await self._free.get()
        try:
            yield seat
        finally:
            loop = asyncio.get_running_loop()
            seat.submit(partial(_tell, loop, self._free, seat))


class Seat:
    """A thread that does one thing after another. A daemon: what hangs in it does not keep the process from ending."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        Thread(target=self._run, name="run_model", daemon=True).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        done: Future[T] = Future()
        self._work.put((done, work))
        return done

    async def do(self, work: Callable[[], T]) -> T:
        """Raises: AnswerboxError as the work did; InternalError for whatever else."""
        return await asyncio.wrap_future(self.submit(partial(_kept_inside, work)))

    def end(self) -> None:
        self._work.put(None)

    def _run(self) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())  # code of a notebook may ask for one
        while (found := self._work.get()) is not None:
            done, work = found
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work())
            except BaseException as exc:
                done.set_exception(exc)
        asyncio.get_event_loop().close()


async def _made_in_loop(result: Any) -> AsyncGenerator[str | dict[str, Any], None]:
    try:
        if not isinstance(result, AsyncIterator):
            yield _returned(await result)
            return
        try:
            async for item in result:
                yield _piece(item)
        finally:
            await _aclose(result)
    except AnswerboxError:
        raise
    except (Exception, SystemExit) as exc:
        raise InternalError(FAILED) from exc


def _kept_inside(work: Callable[[], T]) -> T:
    try:
        return work()
    except AnswerboxError:
        raise
    except BaseException as exc:  # a SystemExit would end the whole service
        raise InternalError(FAILED) from exc


def _returned(result: Any) -> dict[str, Any]:
    if not isinstance(result, dict):
        raise InternalError(NO_ANSWER)
    return result


def _piece(item: Any) -> str | dict[str, Any]:
    if not isinstance(item, str | dict):
        raise InternalError(NO_PIECE)
    return item


def _close(iterator: Iterator[Any]) -> None:
    try:
        if close := getattr(iterator, "close", None):
            close()
    except BaseException:
        log.exception("the service's own run_model failed while it was closed")


async def _aclose(iterator: AsyncIterator[Any]) -> None:
    try:
        if aclose := getattr(iterator, "aclose", None):
            async with asyncio.timeout(CLOSE_S):
                await aclose()
    except Exception:
        log.exception("the service's own run_model failed while it was closed")


def _tell(loop: asyncio.AbstractEventLoop, free: asyncio.Queue[Seat], seat: Seat) -> None:
    with suppress(RuntimeError):  # the loop has ended, and nobody waits
        loop.call_soon_threadsafe(free.put_nowait, seat)

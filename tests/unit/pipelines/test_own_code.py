"""A generator of your own: text as it is made, and every way in which it may end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from answerbox.contracts import (
    CorrectionEvent,
    CustomRequest,
    CustomResponse,
    DoneEvent,
    Event,
    MetaEvent,
    StepEvent,
    TokenEvent,
)
from answerbox.errors import Conflict, DeadlineExceeded, InternalError, NotReady
from answerbox.pipelines.base import Response, answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.custom import CustomPipeline
from answerbox.pipelines.own_code import OwnCode, RunModel
from tests.doubles import until

REQUEST = CustomRequest(question="one two three", parameters={"city": "Berlin"})


def blocking(request: dict[str, Any]) -> Iterator[str | dict[str, Any]]:
    yield from request["question"].split()
    yield {"city": request["city"]}


async def asynchronous(request: dict[str, Any]) -> AsyncGenerator[str | dict[str, Any], None]:
    for item in blocking(request):
        await asyncio.sleep(0)
        yield item


def returned(request: dict[str, Any]) -> Iterator[str | dict[str, Any]]:
    return blocking(request)


BOTH = pytest.mark.parametrize("function", [blocking, asynchronous, returned])


class Callable_:
    async def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"answer": request["city"]}


async def custom(function: RunModel, threads: int = 1) -> CustomPipeline:
    pipeline = CustomPipeline(OwnCode(lambda: function, threads), "custom", "mine:run_model")
    await pipeline.loaded()
    return pipeline


def context(timeout_s: float = 30.0, request_id: str = "request-1") -> RequestContext:
    return RequestContext(request_id, timeout_s)


async def events(function: RunModel, timeout_s: float = 30.0) -> list[Event]:
    async with aclosing((await custom(function)).stream(REQUEST, context(timeout_s))) as found:
        return [event async for event in found]


def last(found: list[Event]) -> CustomResponse:
    assert isinstance(found[-1], DoneEvent)
    assert isinstance(found[-1].response, CustomResponse)
    return found[-1].response


@BOTH
async def test_each_piece_of_a_generator_is_a_token_and_its_dict_is_told_beside_the_answer(function: RunModel) -> None:
    found = await events(function)
    assert [type(event) for event in found] == [MetaEvent, *[TokenEvent] * 3, StepEvent, DoneEvent]
    assert (last(found).answer, last(found).meta.custom) == ("onetwothree", {"city": "Berlin"})
    assert last(found).meta.pipeline == "custom"
    assert last(found).meta.steps[0].detail["first_token_ms"] >= 0
    assert (await answer(await custom(function), REQUEST, context())).answer == "onetwothree"


async def test_an_answer_in_the_dict_corrects_what_was_streamed() -> None:
    def run_model(_: dict[str, Any]) -> Iterator[str | dict[str, Any]]:
        yield "Berlin is in France."
        yield {"answer": "Berlin is in Germany.", "checked": True}

    found = await events(run_model)
    assert [event.text for event in found if isinstance(event, CorrectionEvent)] == ["Berlin is in Germany."]
    assert (last(found).answer, last(found).meta.custom) == ("Berlin is in Germany.", {"checked": True})


async def test_a_dict_alone_is_one_token() -> None:
    def run_model(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"answer": "all at once"}

    found = await events(run_model)
    assert [event.text for event in found if isinstance(event, TokenEvent)] == ["all at once"]


async def test_an_object_that_is_called_and_awaited_will_do() -> None:
    assert (await answer(await custom(Callable_()), REQUEST, context())).answer == "Berlin"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([], "did not return a dict"),
        ([{"mood": "good"}], "did not return a dict"),
        (["a", 7], "neither text nor a dict"),
        (["a", {"answer": None}], "did not return a dict"),
        (["a", {"score": object()}], "not what JSON can say"),
        (["a", {"score": float("nan")}], "not what JSON can say"),
        (["\ud800"], "not Unicode"),
    ],
    ids=["nothing", "no-answer", "number", "null", "object", "nan", "half-a-character"],
)
async def test_what_is_no_answer_is_the_services_failure(made: list[Any], words: str) -> None:
    with pytest.raises(InternalError, match=words):
        await events(lambda _: iter(made))


@pytest.mark.parametrize("fault", [ValueError("hunter2"), SystemExit(2), StopIteration(), TimeoutError()])
async def test_an_exception_in_the_middle_stays_inside(fault: BaseException) -> None:
    def run_model(_: dict[str, Any]) -> Iterator[str]:
        yield "a"
        raise fault

    async def run_async(_: dict[str, Any]) -> AsyncIterator[str]:
        yield "a"
        raise fault

    for function in (run_model, run_async, lambda _: _raise(fault)):
        with pytest.raises(InternalError) as caught:
            await events(function)
        assert "hunter2" not in str(caught.value.to_wire())


def _raise(fault: BaseException) -> None:
    raise fault


async def test_an_answerbox_error_in_the_middle_goes_to_the_caller() -> None:
    async def run_model(_: dict[str, Any]) -> AsyncIterator[str]:
        yield "a"
        raise Conflict("not now")

    with pytest.raises(Conflict, match="not now"):
        await events(run_model)


class Watched:
    """Generators that make a word and then wait to be told to go on; `closed` counts those that were ended."""

    def __init__(self) -> None:
        self.closed = 0
        self.running = 0
        self.most = 0
        self.go_on = threading.Event()

    def blocking(self, _: dict[str, Any]) -> Iterator[str]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            yield "one "
            self.go_on.wait(10)
            yield "two"
        finally:
            self.running -= 1
            self.closed += 1

    async def asynchronous(self, _: dict[str, Any]) -> AsyncIterator[str]:
        try:
            yield "one "
            while not self.go_on.is_set():
                await asyncio.sleep(0.01)
            yield "two"
        finally:
            self.closed += 1


WATCHED = pytest.mark.parametrize("kind", ["blocking", "asynchronous"])


async def ended(watched: Watched, kind: str, end: Callable[[CustomPipeline], Awaitable[None]]) -> None:
    """In the end it has been closed, and the next call is answered."""
    pipeline = await custom(getattr(watched, kind))
    await end(pipeline)
    watched.go_on.set()
    await until(lambda: watched.closed == 1, what="the generator is closed")
    assert (await answer(pipeline, REQUEST, context())).answer == "one two"


@WATCHED
async def test_a_reader_who_leaves_closes_the_generator(kind: str) -> None:
    async def leave(pipeline: CustomPipeline) -> None:
        async with aclosing(pipeline.stream(REQUEST, context())) as found:
            async for event in found:
                if isinstance(event, TokenEvent):
                    break

    await ended(Watched(), kind, leave)


@WATCHED
async def test_a_reader_who_leaves_while_it_works_closes_the_generator(kind: str) -> None:
    watched = Watched()

    async def leave(pipeline: CustomPipeline) -> None:
        reading = asyncio.create_task(answer(pipeline, REQUEST, context()))
        await asyncio.wait({reading}, timeout=0.1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert watched.closed == (kind == "asynchronous"), "what blocks cannot be ended"

    await ended(watched, kind, leave)


@WATCHED
async def test_on_the_deadline_the_words_that_there_are_are_the_answer(kind: str) -> None:
    async def wait(pipeline: CustomPipeline) -> None:
        response = await answer(pipeline, REQUEST, context(0.2))
        assert (response.answer, response.meta.finish_reason) == ("one ", "deadline")

    await ended(Watched(), kind, wait)


@WATCHED
async def test_a_cancelled_answer_is_what_there_is_of_it(kind: str) -> None:
    async def cancel(pipeline: CustomPipeline) -> None:
        reading: asyncio.Task[Response] = asyncio.create_task(answer(pipeline, REQUEST, context(request_id="mine")))
        await asyncio.wait({reading}, timeout=0.1)
        assert not pipeline.cancel("another")
        assert pipeline.cancel("mine")
        response = await reading
        assert (response.answer, response.meta.finish_reason) == ("one ", "cancelled")
        assert not pipeline.cancel("mine")

    await ended(Watched(), kind, cancel)


async def test_a_cancelled_function_has_no_words_and_its_thread_is_free_when_it_has_ended() -> None:
    release = threading.Event()

    def run_model(_: dict[str, Any]) -> dict[str, Any]:
        release.wait(10)
        return {"answer": "late"}

    pipeline = await custom(run_model)
    reading = asyncio.create_task(answer(pipeline, REQUEST, context(request_id="mine")))
    await asyncio.wait({reading}, timeout=0.05)
    assert pipeline.cancel("mine")
    assert (await reading).answer == ""
    with pytest.raises(DeadlineExceeded):
        await answer(pipeline, REQUEST, context(0.05))
    release.set()
    assert (await answer(pipeline, REQUEST, context())).answer == "late"


@pytest.mark.parametrize("threads", [1, 3])
async def test_so_many_generators_run_at_a_time_as_there_are_threads(threads: int) -> None:
    watched = Watched()
    pipeline = await custom(watched.blocking, threads)
    reading = [asyncio.create_task(answer(pipeline, REQUEST, context())) for _ in range(5)]
    await until(lambda: watched.running == threads)
    watched.go_on.set()
    assert {(await each).answer for each in reading} == {"one two"}
    assert watched.most == threads


async def test_the_module_and_its_calls_share_a_thread() -> None:
    def load() -> RunModel:
        table = sqlite3.connect(":memory:")  # refuses to be used in another thread
        return lambda _: {"answer": str(table.execute("select 7").fetchone()[0])}

    pipeline = CustomPipeline(OwnCode(load), "custom", "mine")
    await pipeline.loaded()
    assert (await answer(pipeline, REQUEST, context())).answer == "7"
    pipeline.close()


async def test_until_it_is_loaded_it_is_not_ready() -> None:
    release = threading.Event()

    def load() -> RunModel:
        release.wait(10)
        return blocking

    pipeline = CustomPipeline(OwnCode(load), "custom", "mine")
    with pytest.raises(NotReady):
        await answer(pipeline, REQUEST, context())
    release.set()
    await pipeline.loaded()
    assert (await answer(pipeline, REQUEST, context())).answer == "onetwothree"

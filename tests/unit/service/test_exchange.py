"""One exchange: work ends when its client has gone, and failures become problem documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from answerbox.errors import Conflict, IndexUnavailable
from answerbox.service import exchange
from answerbox.service.envelope import enveloped
from answerbox.service.exchange import ClientGone, Exchange
from answerbox.service.friendly import friendly
from tests.doubles import until


class Work:
    """Waits until it is let go, or cancelled."""

    def __init__(self) -> None:
        self.started, self.go, self.cancelled = asyncio.Event(), asyncio.Event(), False

    async def __call__(self) -> str:
        self.started.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "done"


@pytest.fixture
async def this() -> AsyncIterator[Exchange]:
    found = Exchange("request-1", "/llm_query", 30)
    token = exchange.current.set(found)
    yield found
    exchange.current.reset(token)


async def test_work_gives_its_result(this: Exchange) -> None:
    work = Work()
    work.go.set()
    assert await this.run(work()) == "done"


async def test_work_that_fails_fails_the_exchange(this: Exchange) -> None:
    async def fails() -> None:
        raise Conflict("no")

    with pytest.raises(Conflict):
        await this.run(fails())


async def test_work_ends_when_the_client_has_gone(this: Exchange) -> None:
    work = Work()
    running = asyncio.create_task(this.run(work()))
    await work.started.wait()
    this.disconnected.set()
    with pytest.raises(ClientGone):
        await running
    assert work.cancelled


async def test_work_ends_when_the_exchange_is_cancelled(this: Exchange) -> None:
    work = Work()
    running = asyncio.create_task(this.run(work()))
    await work.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.cancelled


async def test_no_task_is_left_behind(this: Exchange) -> None:
    before = asyncio.all_tasks()
    work = Work()
    work.go.set()
    await this.run(work())
    await until(lambda: asyncio.all_tasks() <= before, what="the end of its tasks")


class Small(BaseModel):
    number: int


def failing(error: Exception) -> Any:
    @friendly
    async def method() -> None:
        raise error

    return method()


@pytest.mark.usefixtures("this")
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(Conflict("no"), 409, "conflict", id="ours"),
        pytest.param(IndexUnavailable("down"), 503, "index_unavailable", id="a-part"),
        pytest.param(ClientGone(), 500, "internal", id="nobody-reads-it"),
    ],
)
async def test_a_failure_of_a_method_is_a_problem(error: Exception, status: int, code: str) -> None:
    answer = await failing(error)
    problem = json.loads(answer.body)
    assert (answer.status_code, problem["code"], problem["request_id"]) == (status, code, "request-1")


@pytest.mark.usefixtures("this")
async def test_a_broken_contract_inside_is_our_failure_and_not_the_callers() -> None:
    @friendly
    async def method() -> Small:
        return Small.model_validate({"number": "hunter2"})

    answer = await method()
    assert answer.status_code == 500
    assert b"hunter2" not in answer.body


async def test_an_envelope_carries_the_result_or_the_error() -> None:
    @enveloped
    async def works(number: int) -> int:
        return number + 1

    @enveloped
    async def fails() -> None:
        raise Conflict("no", hint="wait")

    assert await works(1) == {"result": 2}
    assert await fails() == {"error": Conflict("no", hint="wait").to_wire()}


async def test_an_envelope_of_a_bug_leaks_nothing() -> None:
    @enveloped
    async def fails() -> None:
        raise ValueError("hunter2")

    envelope = await fails()
    assert envelope["error"]["code"] == "internal"
    assert "hunter2" not in str(envelope)

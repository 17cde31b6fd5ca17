"""The time that is left for a request."""

from __future__ import annotations

import asyncio

import pytest

from answerbox.errors import DeadlineExceeded
from answerbox.pipelines.deadline import Deadline


async def never(cancelled: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.set()
        raise


async def quick() -> str:
    return "done"


async def test_work_inside_the_deadline_gives_its_result() -> None:
    assert await Deadline(5).run(quick()) == "done"


async def test_work_past_the_deadline_is_cancelled() -> None:
    cancelled = asyncio.Event()
    with pytest.raises(DeadlineExceeded, match=r"within 0\.02 seconds"):
        await Deadline(0.02).run(never(cancelled))
    assert cancelled.is_set()


async def test_a_timeout_inside_the_work_is_not_the_deadline() -> None:
    async def fails() -> None:
        raise TimeoutError("a part's own")

    with pytest.raises(TimeoutError, match="a part's own"):
        await Deadline(5).run(fails())


async def test_the_time_counts_from_the_start_of_the_request() -> None:
    deadline = Deadline(0.02)
    with pytest.raises(DeadlineExceeded):
        await deadline.run(never(asyncio.Event()))
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceeded):
        await deadline.run(never(asyncio.Event()))


async def test_a_cancelled_request_is_cancelled_and_not_late() -> None:
    cancelled = asyncio.Event()
    task = asyncio.create_task(Deadline(5).run(never(cancelled)))
    started = asyncio.Event()
    asyncio.get_running_loop().call_soon(started.set)
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()

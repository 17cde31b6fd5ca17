"""Whether the parts work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from answerbox.errors import IndexUnavailable
from answerbox.service import health
from answerbox.service.health import MISSES, HealthMonitor


class Part:
    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked = 0

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        if self.failure:
            raise self.failure
        return {"model": "m"}


def monitor(warm: bool = True, **parts: Part) -> HealthMonitor:
    found = HealthMonitor(dict(parts), {"generator": "m"}, needed=set(parts))
    found.warm = warm
    return found


@pytest.mark.parametrize(
    ("warm", "failure", "status", "ready"),
    [
        pytest.param(True, None, "ok", True, id="all-works"),
        pytest.param(False, None, "starting", False, id="cold"),
        pytest.param(True, IndexUnavailable("down"), "degraded", False, id="a-part-is-down"),
        pytest.param(True, TimeoutError(), "degraded", False, id="a-part-is-silent"),
    ],
)
async def test_the_status_follows_from_the_parts(
    warm: bool, failure: Exception | None, status: str, ready: bool
) -> None:
    found = monitor(warm, generator=Part(), index=Part(failure))
    report = await found.report()
    assert (report.status, await found.ready()) == (status, ready)
    assert report.dependencies["generator"].ready
    assert report.dependencies["index"].ready == (failure is None)


async def test_a_part_that_is_not_needed_does_not_turn_readiness_off() -> None:
    parts = {"index": Part(), "embedder": Part(IndexUnavailable("down"))}
    found = HealthMonitor(dict(parts), {}, needed={"index"})
    found.warm = True
    assert await found.ready()
    assert (await found.report()).status == "degraded"


async def test_a_part_that_is_down_says_its_code() -> None:
    report = await monitor(index=Part(IndexUnavailable("secret text"))).report()
    assert report.dependencies["index"].detail == {"code": "index_unavailable"}


async def test_many_who_ask_at_once_ask_the_parts_once() -> None:
    part = Part()
    found = monitor(index=part)
    await asyncio.gather(*(found.ready() for _ in range(20)))
    assert part.asked == 1


async def test_one_probe_without_an_answer_may_be_a_busy_machine_but_not_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", -1.0)
    part = Part()
    found = monitor(index=part)
    assert await found.ready()
    part.failure = TimeoutError()
    assert [await found.ready() for _ in range(MISSES + 1)] == [True, False, False]
    part.failure = None
    assert await found.ready()
    part.failure = TimeoutError()
    assert await found.ready(), "an answer in between begins the count anew"
    part.failure = IndexUnavailable("down")
    assert not await found.ready(), "who says that it is down is down"

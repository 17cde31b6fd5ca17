"""Counting what a key uses, in this process and in a real Redis where the machine has one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from answerbox.adapters.rate_limits import RateLimits
from tests.live import free_port, wait_until


def _is_up(port: int) -> bool:
    done = subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True, check=False)
    return done.stdout.strip() == b"PONG"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server (Debian's package redis-server)")
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _is_up(port), 10, "redis answers")
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    return "memory://" if request.param == "memory" else str(request.getfixturevalue("redis"))


async def test_a_key_has_so_many_requests_a_minute_and_another_its_own(url: str) -> None:
    rates = RateLimits(url)
    seen = [await rates.request("ada", 3) for _ in range(4)]
    assert [allowed for allowed, _ in seen] == [True, True, True, False]
    assert [window.remaining for _, window in seen] == [2, 1, 0, 0]
    assert all(window.limit == 3 and 1 <= window.reset_s <= 60 for _, window in seen)
    assert (await rates.request("bob", 3))[0]


async def test_tokens_are_counted_beyond_the_bound(url: str) -> None:
    rates = RateLimits(url)
    assert (await rates.tokens_left("carl", 100)).remaining == 100
    await rates.spend("carl", 100, 70)
    assert (await rates.tokens_left("carl", 100)).remaining == 30
    await rates.spend("carl", 100, 70)
    window = await rates.tokens_left("carl", 100)
    assert window.remaining == 0
    assert 1 <= window.reset_s <= 86_400


async def test_two_replicas_count_together_in_redis(redis: str) -> None:
    one, other = RateLimits(redis), RateLimits(redis)
    assert (await one.request("dora", 2))[0]
    assert (await other.request("dora", 2))[0]
    assert not (await one.request("dora", 2))[0]


async def test_without_its_redis_each_process_counts_by_itself() -> None:
    rates = RateLimits(f"redis://127.0.0.1:{free_port()}")
    assert [(await rates.request("ada", 2))[0] for _ in range(3)] == [True, True, False]
    await rates.spend("ada", 10, 10)
    assert (await rates.tokens_left("ada", 10)).remaining == 0

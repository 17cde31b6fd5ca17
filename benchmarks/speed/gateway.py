"""What the service itself costs: Answerbox with the `fake` model beside a bare FastAPI echo of the same contract."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from tests.live import serving

from benchmarks import processes
from benchmarks.percentiles import median, percentile
from benchmarks.speed.results import Overhead
from benchmarks.speed.systems import BENCH_PYTHON, PEERS

QUESTION = {"question": "Which words does the gateway send back again?"}
CONCURRENCY = (1, 16)
REQUESTS = {1: 200, 16: 600}


def overheads(folder: Path, rounds: int, requests: dict[int, int] | None = None) -> list[Overhead]:
    requests = requests or REQUESTS
    with _answerbox(folder) as answerbox, _echo(folder) as echo:
        servers = {"Answerbox, fake model": answerbox, "bare FastAPI echo": echo}
        measured: dict[tuple[str, int], list[Overhead]] = {}
        for round_ in range(rounds + 1):
            for concurrency in CONCURRENCY:
                for name, (url, pid) in servers.items():
                    one = _block(name, url, pid, concurrency, requests[concurrency])
                    if round_:  # the first is the warm-up
                        measured.setdefault((name, concurrency), []).append(one)
    return [_medians(of) for of in measured.values()]


@contextlib.contextmanager
def _answerbox(folder: Path) -> Iterator[tuple[str, int]]:
    with serving(folder / "gateway", generator_model="fake", embedder_model="fake") as live:
        yield live.url, live.process.pid


@contextlib.contextmanager
def _echo(folder: Path) -> Iterator[tuple[str, int]]:
    command = [str(BENCH_PYTHON), "-m", f"{PEERS}.echo_server", "{port}"]
    with processes.http_server(command, folder / "echo.log", "/health", processes.environment()) as server:
        yield server


def _block(name: str, url: str, pid: int, concurrency: int, requests: int) -> Overhead:
    cpu = processes.cpu_seconds(pid)
    wall, took = asyncio.run(_ask(url, concurrency, requests))
    cpu = processes.cpu_seconds(pid) - cpu
    return Overhead(
        name=name,
        concurrency=concurrency,
        p50_ms=median(took) * 1000,
        p95_ms=percentile(took, 0.95) * 1000,
        per_s=requests / wall,
        cpu_ms=cpu / requests * 1000,
    )


async def _ask(url: str, concurrency: int, requests: int) -> tuple[float, list[float]]:
    took: list[float] = []
    left = iter(range(requests))
    async with aiohttp.ClientSession(url) as session:

        async def asker() -> None:
            for _ in left:
                began = time.perf_counter()
                async with session.post("/llm_query", json=QUESTION) as response:
                    answer = await response.json()
                    assert answer["answer"] == QUESTION["question"], answer
                took.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(asker() for _ in range(concurrency)))
        return time.perf_counter() - began, took


def _medians(rounds: list[Overhead]) -> Overhead:
    return Overhead(
        name=rounds[0].name,
        concurrency=rounds[0].concurrency,
        p50_ms=median(one.p50_ms for one in rounds),
        p95_ms=median(one.p95_ms for one in rounds),
        per_s=median(one.per_s for one in rounds),
        cpu_ms=median(one.cpu_ms for one in rounds),
    )

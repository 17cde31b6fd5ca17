"""More requests than Answerbox can carry, for some minutes. Adds a dated section to docs/overload.md.

First the most that it carries is measured, with a fixed number of requests at a time. Then requests come at a multiple
of that rate, whether earlier ones are answered or not: each must be answered, or refused with 503, Retry-After and the
code `overloaded`. Anything else is lost, and none may be. Beside the flood one user asks one question at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import math
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from tests.live import Live, serving

from answerbox import __version__
from benchmarks import machine, processes
from benchmarks.percentiles import Spread, median
from benchmarks.prompts import Prompt, prompt

CLOSED_LOOPS = (16, 32)
CLOSED_S = 30.0
FLOOD_USERS = 8
MAX_TOKENS = 64
RSS_EVERY_S = 5.0
SETTLED_AFTER_S = 30.0
"""From here on memory should no longer grow: every kind of work was done once."""

PATIENCE_S = 300.0
PAGE = processes.ROOT / "docs" / "overload.md"


@dataclass(frozen=True)
class Reply:
    """`outcome` is `accepted`, `refused`, or what went wrong instead."""

    outcome: str
    took_s: float
    tokens: int = 0


@dataclass
class Flood:
    replies: list[Reply] = field(default_factory=list)
    light: list[Reply] = field(default_factory=list)
    rss: list[tuple[float, int]] = field(default_factory=list)
    wall_s: float = 0.0

    def of(self, outcome: str) -> list[Reply]:
        return [reply for reply in self.replies if reply.outcome == outcome]

    @property
    def goodput(self) -> float:
        return sum(reply.tokens for reply in [*self.replies, *self.light]) / self.wall_s

    @property
    def lost(self) -> Counter[str]:
        every = (reply.outcome for reply in [*self.replies, *self.light])
        return Counter(outcome for outcome in every if outcome not in ("accepted", "refused"))


@dataclass(frozen=True)
class Capacity:
    concurrency: int
    goodput: float
    per_s: float


class Client:
    def __init__(self, session: aiohttp.ClientSession, first: int = 0) -> None:
        self._session = session
        self._numbers = itertools.count(first)

    async def ask(self, user: str) -> Reply:
        number = next(self._numbers)
        asked: Prompt = prompt(number)
        request_id = f"flood-{number:08}"
        body = {
            "question": asked.question,
            "context": asked.context,
            "user_id": user,
            "options": {"max_tokens": MAX_TOKENS},
        }
        began = time.perf_counter()
        try:
            async with self._session.post("/llm_query", json=body, headers={"X-Request-Id": request_id}) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            return Reply(type(exc).__name__, time.perf_counter() - began)
        took = time.perf_counter() - began
        if response.status == 200 and answer["meta"]["request_id"] == request_id and answer["answer"]:
            return Reply("accepted", took, answer["meta"]["usage"]["completion_tokens"])
        if response.status == 503 and answer.get("code") == "overloaded" and "Retry-After" in response.headers:
            return Reply("refused", took)
        return Reply(f"{response.status} {answer.get('code', '')}".strip(), took)


async def capacity(client: Client, concurrency: int) -> Capacity:
    """So many requests at a time, for some seconds; what runs then is waited for, and counts."""
    replies: list[Reply] = []
    began = time.perf_counter()

    async def asker() -> None:
        while time.perf_counter() - began < CLOSED_S:
            replies.append(await client.ask("measure"))

    await asyncio.gather(*(asker() for _ in range(concurrency)))
    wall = time.perf_counter() - began
    done = [reply for reply in replies if reply.outcome == "accepted"]
    assert done, Counter(reply.outcome for reply in replies)
    return Capacity(concurrency, sum(reply.tokens for reply in done) / wall, len(done) / wall)


async def flood(client: Client, pid: int, per_s: float, seconds: float) -> Flood:
    """Requests at random times, `per_s` of them in the mean; ends when the last is answered."""
    result = Flood()
    began = time.perf_counter()
    over = asyncio.Event()

    async def one(user: str) -> None:
        result.replies.append(await client.ask(user))

    async def light_user() -> None:
        while not over.is_set():
            reply = await client.ask("light")
            result.light.append(reply)
            await asyncio.sleep(0.1 if reply.outcome == "accepted" else 1.0)

    async def watch_memory() -> None:
        while not over.is_set():
            result.rss.append((time.perf_counter() - began, processes.rss_bytes(pid)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), RSS_EVERY_S)

    beside = [asyncio.create_task(light_user()), asyncio.create_task(watch_memory())]
    running: set[asyncio.Task[None]] = set()
    for number, moment in enumerate(_arrivals(per_s, seconds)):
        await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
        task = asyncio.create_task(one(f"flood-{number % FLOOD_USERS}"))
        running.add(task)
        task.add_done_callback(running.discard)
    over.set()
    await asyncio.gather(*running, *beside)
    result.wall_s = time.perf_counter() - began
    result.rss.append((result.wall_s, processes.rss_bytes(pid)))
    return result


def _arrivals(per_s: float, seconds: float) -> Iterator[float]:
    draw = random.Random(0)
    moment = draw.expovariate(per_s)
    while moment < seconds:
        yield moment
        moment += draw.expovariate(per_s)


def growth(rss: Sequence[tuple[float, int]]) -> float:
    """Bytes a minute, by least squares, once the service has settled; nan where that was too short."""
    settled = [point for point in rss if point[0] >= SETTLED_AFTER_S]
    if len(settled) < 3:
        return math.nan
    moments, sizes = zip(*settled, strict=True)
    return statistics.linear_regression(moments, sizes).slope * 60


async def measure(live: Live, options: argparse.Namespace) -> tuple[Capacity, Flood]:
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(live.url, timeout=timeout, connector=connector) as session:
        client = Client(session)
        best = max([await capacity(client, level) for level in CLOSED_LOOPS], key=lambda found: found.goodput)
        print(f"overload: at best {best.goodput:.0f} tokens/s, {best.per_s:.1f} requests/s; now the flood", flush=True)
        result = await flood(client, live.process.pid, options.factor * best.per_s, options.minutes * 60)
        async with session.get("/readyz") as ready:
            assert ready.status == 200, "the service is not ready after the flood"
    return best, result


def section(best: Capacity, result: Flood, options: argparse.Namespace) -> str:
    accepted, refused, lost = result.of("accepted"), result.of("refused"), result.lost
    light = [reply.took_s for reply in result.light if reply.outcome == "accepted"]
    sizes = [size for _, size in result.rss]
    lost_text = "none" if not lost else ", ".join(f"{count} × {what}" for what, count in lost.items())
    rows = {
        f"best goodput, {best.concurrency} at a time": f"{best.goodput:.0f} tokens/s, {best.per_s:.2f} answers/s",
        "requests of the flood": f"{len(result.replies)}, {options.factor * best.per_s:.1f} a second",
        "goodput in the flood": f"{result.goodput:.0f} tokens/s, {result.goodput / best.goodput:.0%} of the best",
        "answered": f"{len(accepted)}; {_times(accepted)}",
        "refused (503, `overloaded`, Retry-After)": f"{len(refused)}; {_times(refused)}",
        "lost": lost_text,
        "light user, one question at a time": f"{len(light)} of {len(result.light)} answered; "
        f"median {median(light):.1f} s, p95 {Spread.of(light).p95:.1f} s",
        "memory of all processes": f"{sizes[0] / 1e6:.0f} MB at the start, {sizes[-1] / 1e6:.0f} at the end, "
        f"{max(sizes) / 1e6:.0f} at most; after {SETTLED_AFTER_S:.0f} s it grew by {growth(result.rss) / 1e6:.1f} MB "
        "a minute",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    moment = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return (
        f"## {moment}: {options.minutes:g} minutes at {options.factor:g} times the load\n\n"
        f"Answerbox {__version__}, {machine.description()}.\n\n| | |\n| --- | --- |\n{table}\n"
    )


def _times(replies: Sequence[Reply]) -> str:
    if not replies:
        return "–"
    took = [reply.took_s for reply in replies]
    spread = Spread.of(took)
    return (
        f"p50 {spread.p50 * 1000:.0f} ms, p95 {spread.p95 * 1000:.0f} ms, p99 {spread.p99 * 1000:.0f} ms, "
        f"at most {max(took) * 1000:.0f} ms"
    )


HEAD = """# Overload

Measured by `make overload` (`benchmarks/overload.py` tells how): questions about passages of XQuAD to
`POST /llm_query`, at most 64 tokens, from eight users and, one question at a time, from a ninth. Newest last.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--factor", type=float, default=4.0, help="how many times more than the service carries")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    processes.stop_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="answerbox-overload-") as folder, serving(Path(folder)) as live:
        best, result = asyncio.run(measure(live, options))
    text = section(best, result, options)
    page: Path = options.page
    page.write_text((page.read_text(encoding="utf-8") if page.exists() else HEAD) + "\n" + text, encoding="utf-8")
    print(text)
    return 1 if result.lost else 0


if __name__ == "__main__":
    sys.exit(main())

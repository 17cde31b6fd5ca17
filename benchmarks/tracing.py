"""What traces and the log cost: the same service with and without them, side by side. Writes docs/tracing.md.

Both run at once and take turns, so that whatever else the machine does meets both. One sends every trace, with its
content, to a backend in a process of its own and has a line of JSON for each request; the other has no backend and logs
errors only. Metrics are always there, in both. What a request waits longer is measured with the doubles, whose answers
take milliseconds: beside a model's seconds it could not be seen. What is lost of the throughput is measured with the
embedded models, which need all of the machine.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
from tests.live import Live, serving
from tests.otlp_receiver import otlp_receiver

from answerbox import __version__
from benchmarks import machine, processes
from benchmarks.percentiles import median, percentile
from benchmarks.soak_traffic import QUESTIONS, documents

PAGE = processes.ROOT / "docs" / "tracing.md"
ROUNDS = 7


@dataclass(frozen=True)
class Case:
    """`count` requests in a round."""

    name: str
    settings: dict[str, str]
    at_a_time: int
    count: int


CASES = (
    Case("doubles", {"generator_model": "fake", "embedder_model": "fake"}, 1, 200),
    Case("embedded models", {}, 8, 48),
)


@dataclass(frozen=True)
class Round:
    p50_ms: float
    per_s: float


def _receive(pipe: Connection) -> None:
    with otlp_receiver() as receiver:
        pipe.send(receiver.url)
        pipe.recv()
        pipe.send(len(receiver.traces()))


@contextmanager
def backend() -> Iterator[tuple[str, Connection]]:
    """Its address, and a pipe that answers anything with the number of traces."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.terminate()
        process.join()


async def measured(live: Live, at_a_time: int, count: int) -> Round:
    took: list[float] = []
    places = asyncio.Semaphore(at_a_time)
    async with httpx.AsyncClient(base_url=live.url, timeout=180) as client:

        async def ask(number: int) -> None:
            question = QUESTIONS[number % len(QUESTIONS)]
            async with places:
                began = time.perf_counter()
                (await client.post(question.path, json=question.body)).raise_for_status()
                took.append((time.perf_counter() - began) * 1000)

        await ask(0)
        took.clear()
        began = time.perf_counter()
        await asyncio.gather(*map(ask, range(count)))
        return Round(percentile(took, 0.5), count / (time.perf_counter() - began))


def compare(case: Case, plain: Live, traced: Live) -> str:
    rounds: dict[str, list[Round]] = {"plain": [], "traced": []}
    for number in range(ROUNDS):
        pairs = [("plain", plain), ("traced", traced)]
        for name, live in pairs if number % 2 else reversed(pairs):
            rounds[name].append(asyncio.run(measured(live, case.at_a_time, case.count)))
    both = list(zip(rounds["plain"], rounds["traced"], strict=True))
    added = [after.p50_ms - before.p50_ms for before, after in both]
    throughput = [after.per_s / before.per_s for before, after in both]
    p50 = median(one.p50_ms for one in rounds["plain"])
    row = (
        f"| {case.name} | {case.at_a_time} | {p50:.1f} | {median(added):+.1f} ({min(added):+.1f} to {max(added):+.1f}) "
        f"| {median(throughput):.3f} ({min(throughput):.3f} to {max(throughput):.3f}) |"
    )
    print(row, flush=True)
    return row


def page(rows: list[str], sent: int) -> str:
    return f"""# What traces and logs cost

Made by `make tracing` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__},
{machine.description()}. Two services side by side, `/llm_query` and `/rag_query` in turn, {ROUNDS} rounds each;
medians of what one round of both gave, in brackets the least and the most. One sends every trace with its content to a
backend on the same machine ({sent} traces arrived) and logs every request, the other does neither. Metrics are always
on, in both.

| models | at a time | p50 without, ms | p50 added, ms | throughput, with / without |
|---|---|---|---|---|
{chr(10).join(rows)}
"""


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="answerbox-tracing-")))
        url, pipe = stack.enter_context(backend())
        rows = [measure(case, folder / str(number), url) for number, case in enumerate(CASES)]
        pipe.send(None)
        PAGE.write_text(page(rows, pipe.recv()), encoding="utf-8")


def measure(case: Case, folder: Path, backend_url: str) -> str:
    keys = {"langfuse_public_key": "pk-lf-1", "langfuse_secret_key": "sk-lf-1", "langfuse_base_url": backend_url}
    with (
        serving(folder / "plain", log_level="error", **case.settings) as plain,
        serving(folder / "traced", log_format="json", **keys, **case.settings) as traced,
    ):
        for live in (plain, traced):
            live.index(documents())
        return compare(case, plain, traced)


if __name__ == "__main__":
    main()

"""What a service tells of itself every few seconds: gauges that nobody else would set."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, get_args

from prometheus_client import Counter, multiprocess
from prometheus_client.process_collector import ProcessCollector

from answerbox.adapters.data_folder import DataFolder
from answerbox.contracts import JobStatus
from answerbox.documents.library import Library
from answerbox.documents.vector_half import State
from answerbox.service import metrics
from answerbox.service.health import HealthMonitor

log = logging.getLogger(__name__)

REPORT_S = 2.0
SLOWER_S = 5.0
"""For what costs more than a look."""
PROC = Path("/proc")

Report = Callable[[], Awaitable[None] | None]


def report_every(seconds: float, *reports: Report) -> asyncio.Task[None]:
    """Runs the reports now and every so many seconds, until the task is cancelled. A report that fails is left out."""

    async def work() -> None:
        failed: set[Report] = set()
        while True:
            for report in reports:
                await _run(report, failed)
            await asyncio.sleep(seconds)

    return asyncio.create_task(work(), name="reporting")


async def _run(report: Report, failed: set[Report]) -> None:
    """Logs a failure once, until the report works again."""
    try:
        done = report()
        if inspect.isawaitable(done):
            await done
        failed.discard(report)
    except Exception:
        if report not in failed:
            log.exception("some metrics are not set")
        failed.add(report)


class Grown:
    """A counter that follows a number which somebody else counts, and which begins anew with each process."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._last = 0.0

    def set(self, value: float) -> None:
        self._counter.inc(value - self._last if value >= self._last else value)
        self._last = value


def process_figures(service: str, pid: Callable[[], int] = os.getpid) -> Callable[[], None]:
    """Reports on a process; nothing where the system has no /proc."""
    collector = ProcessCollector(pid=pid, registry=None)
    cpu = Grown(metrics.CPU.labels(service))

    def report() -> None:
        found = {sample.name: sample.value for metric in collector.collect() for sample in metric.samples}
        if "process_cpu_seconds_total" not in found:
            return
        cpu.set(found["process_cpu_seconds_total"])
        metrics.RESIDENT.labels(service).set(found["process_resident_memory_bytes"])
        metrics.STARTED.labels(service).set(found["process_start_time_seconds"])
        metrics.OPEN_FILES.labels(service).set(found.get("process_open_fds", 0))
        with contextlib.suppress(OSError):  # it has ended meanwhile
            metrics.THREADS.labels(service).set(sum(1 for _ in (PROC / str(pid()) / "task").iterdir()))

    return report


def engine_figures(status: Callable[[], dict[str, Any]]) -> Callable[[], None]:
    """Reports on the engine of the language model; `status` is that of `LocalGenerator`."""
    tokens, restarts = Grown(metrics.ENGINE_TOKENS), Grown(metrics.ENGINE_RESTARTS)
    process = process_figures("Engine", lambda: int(status()["engine_pid"]))

    def report() -> None:
        now = status()
        tokens.set(now["generated"])
        restarts.set(now["restarts"])
        metrics.ENGINE_RUNNING.set(now["running"])
        metrics.ENGINE_ROWS.set(now["rows"])
        metrics.ENGINE_WAITING.set(now["waiting"])
        metrics.ENGINE_WAITING_TOKENS.set(now["waiting_tokens"])
        metrics.ENGINE_WAITING_LIMIT.set(now["waiting_tokens_limit"])
        metrics.ENGINE_CACHE.set(now["cache_tokens"])
        metrics.ENGINE_CACHE_LIMIT.set(now["cache_tokens_limit"])
        metrics.ENGINE_SPEED.set(now["tokens_per_second"] or 0.0)
        process()

    return report


def index_figures(library: Callable[[], Library | None], folder: DataFolder) -> Callable[[], Awaitable[None]]:
    """Reports on the documents, once they are open."""

    async def report() -> None:
        opened = library()
        if opened is None:
            return
        info, jobs = await opened.info(), await opened.jobs()
        metrics.DOCUMENTS.set(info.documents)
        metrics.CHUNKS.set(info.chunks)
        metrics.EMBEDDED.set(info.embedded)
        metrics.WAITING.set(info.waiting)
        for state in get_args(State):
            metrics.VECTORS.labels(state).set(state == info.vectors)
        for status in get_args(JobStatus):
            metrics.JOBS.labels(status).set(jobs.get(status, 0))
        metrics.INDEX_BYTES.labels("ledger").set(await asyncio.to_thread(_bytes, folder.ledger))
        metrics.INDEX_BYTES.labels("vectors").set(await asyncio.to_thread(_bytes, folder.vectors))

    return report


def part_figures(health: HealthMonitor) -> Callable[[], Awaitable[None]]:
    """Reports which parts work, and forgets processes that do not live any more."""

    async def report() -> None:
        for name, part in (await health.report()).dependencies.items():
            metrics.PART_READY.labels(name).set(part.ready)
        forget_the_dead()

    return report


def forget_the_dead() -> None:
    """A `live…` gauge of a process that was killed would keep its last value for ever."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return
    for pid in {int(file.stem.rpartition("_")[2]) for file in Path(folder).glob("gauge_live*_*.db")}:
        if not _lives(pid):
            with contextlib.suppress(FileNotFoundError):  # another gateway did the same
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _bytes(path: Path) -> int:
    """Of a file with those that SQLite has beside it, or of a folder."""
    files = path.rglob("*") if path.is_dir() else path.parent.glob(f"{path.name}*")
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total

"""What services tell of themselves: again and again, also after a failure, and nothing of the dead."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from answerbox.adapters.data_folder import DataFolder
from answerbox.errors import IndexUnavailable
from answerbox.service.health import HealthMonitor
from answerbox.service.reporting import (
    Grown,
    Report,
    engine_figures,
    forget_the_dead,
    index_figures,
    part_figures,
    process_figures,
    report_every,
)
from tests.doubles import until

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"answerbox_{name}", labels)


@pytest.fixture
async def reporting() -> AsyncIterator[Callable[..., None]]:
    tasks = []

    def start(*reports: Report) -> None:
        tasks.append(report_every(0.001, *reports))

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_report_that_fails_stops_no_other_and_is_logged_once(
    reporting: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    made = []

    def broken() -> None:
        raise IndexUnavailable("away")

    async def works() -> None:
        made.append(1)

    reporting(broken, works)
    await until(lambda: len(made) > 3)
    assert len(caplog.records) == 1


def test_a_counter_follows_a_number_that_begins_anew() -> None:
    registry = CollectorRegistry()
    follower = Grown(Counter("made", "Made.", registry=registry))
    for number in (5, 8, 2, 2):
        follower.set(number)
    assert registry.get_sample_value("made_total") == 10


@linux
def test_a_process_has_its_figures() -> None:
    process_figures("Here")()
    assert (value("process_resident_memory_bytes", service="Here") or 0) > 1e6
    assert (value("process_cpu_seconds_total", service="Here") or 0) > 0
    assert (value("process_threads", service="Here") or 0) >= 1
    assert (value("process_open_fds", service="Here") or 0) >= 3
    assert (value("process_start_time_seconds", service="Here") or 0) > 1e9


@linux
def test_a_process_that_has_gone_has_none_and_is_no_failure() -> None:
    process_figures("Gone", _dead)()
    assert value("process_resident_memory_bytes", service="Gone") is None


def test_the_engine_has_its_figures() -> None:
    status = {
        "engine_pid": os.getpid(),
        "generated": 100,
        "restarts": 1,
        "running": 2,
        "rows": 16,
        "waiting": 3,
        "waiting_tokens": 400,
        "waiting_tokens_limit": 32_000,
        "cache_tokens": 500,
        "cache_tokens_limit": 16_384,
        "tokens_per_second": None,
    }
    before = value("engine_tokens_total") or 0
    report = engine_figures(lambda: status)
    report()
    status |= {"generated": 130}
    report()
    assert (value("engine_tokens_total") or 0) - before == 130
    assert (value("engine_running"), value("engine_waiting_tokens"), value("engine_cache_tokens")) == (2, 400, 500)
    assert value("engine_work_tokens_per_second") == 0


async def test_documents_that_are_not_open_yet_have_none(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    try:
        await index_figures(lambda: None, folder)()
    finally:
        folder.release()


async def test_parts_show_whether_they_work() -> None:
    async def works() -> dict[str, object]:
        return {}

    async def fails() -> dict[str, object]:
        raise IndexUnavailable("away")

    await part_figures(HealthMonitor({"embedder": works, "index": fails}, {}, set()))()
    assert (value("part_ready", part="embedder"), value("part_ready", part="index")) == (1, 0)


def test_what_the_dead_have_left_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    dead, alive = _dead(), os.getpid()
    kept = {f"gauge_livesum_{alive}.db", f"gauge_mostrecent_{dead}.db", f"counter_{dead}.db"}
    for name in kept | {f"gauge_livesum_{dead}.db", f"gauge_livemax_{dead}.db"}:
        (tmp_path / name).touch()
    forget_the_dead()
    assert {file.name for file in tmp_path.iterdir()} == kept


def test_nothing_is_taken_away_where_processes_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    forget_the_dead()


def _dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid

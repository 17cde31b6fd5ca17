"""Memory, descriptors and threads of each process of a service, and whether they grew."""

from __future__ import annotations

import contextlib
import re
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks import processes

EVERY_S = 10.0
STOOD_STILL_S = 3 * EVERY_S
WINDOW_S = 60.0
"""The medians are of so long: the first after the warm-up, and the last."""

GROWTH = 0.05
SLACK = 2
"""Descriptors and threads that may come and go with the number of requests that happen to run."""

TOGETHER = "together"


@dataclass(frozen=True)
class Sample:
    """Of one process at one moment; `at_s` is counted from the beginning, sizes are in bytes.

    `rss` counts what processes share once for each of them, `pss` splits it between them.
    """

    at_s: float
    pid: int
    rss: int
    pss: int
    descriptors: int
    threads: int


Samples = dict[str, list[Sample]]


def watch(pid: int, seconds: float) -> Samples:
    """Of the process and all that it has started, for so long."""
    found: Samples = defaultdict(list)
    began, pause = time.monotonic(), threading.Event()
    for number in range(int(seconds / EVERY_S) + 1):
        pause.wait(max(0.0, began + number * EVERY_S - time.monotonic()))
        for name, sample in _samples(pid, time.monotonic() - began):
            found[name].append(sample)
    return found


def _samples(pid: int, at_s: float) -> Iterator[tuple[str, Sample]]:
    for process in processes.tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError), process.oneshot():
            name = _name(process.cmdline())
            rss, pss = process.memory_info().rss, _pss(process.pid)
            yield name, Sample(at_s, process.pid, rss, pss, process.num_fds(), process.num_threads())


def _name(line: Sequence[str]) -> str:
    if "--service-name" in line:
        return str(line[line.index("--service-name") + 1])
    if "answerbox.adapters.generation.host" in line:
        return "engine"
    return "bentoml serve" if "serve" in line else "helper"


def _pss(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@dataclass(frozen=True)
class Figures:
    """Medians of a window."""

    rss: float
    pss: float
    descriptors: float
    threads: float


@dataclass(frozen=True)
class Change:
    process: str
    before: Figures
    after: Figures

    @property
    def growth(self) -> float:
        return self.after.rss / self.before.rss - 1

    @property
    def memory_is_flat(self) -> bool:
        return self.growth <= GROWTH

    @property
    def descriptors_are_flat(self) -> bool:
        return self.after.descriptors - self.before.descriptors <= SLACK

    @property
    def threads_are_flat(self) -> bool:
        return self.after.threads - self.before.threads <= SLACK


def changes(samples: Samples, warm_up_s: float, end_s: float) -> list[Change]:
    """Of the processes that were there all the time; all of them together come last."""
    rows = []
    for name, ones in sorted(samples.items()):
        before = [one for one in ones if warm_up_s <= one.at_s < warm_up_s + WINDOW_S]
        after = [one for one in ones if end_s - WINDOW_S < one.at_s]
        if before and after:
            rows.append(Change(name, _medians(before), _medians(after)))
    return [*rows, Change(TOGETHER, _sum([row.before for row in rows]), _sum([row.after for row in rows]))]


def replaced(samples: Samples) -> list[str]:
    """Processes that ended in the meantime and were started again; a job's own are not meant."""
    lasting = {name: {one.pid for one in ones} for name, ones in samples.items() if name != "helper"}
    return [name for name, pids in sorted(lasting.items()) if len(pids) > 1]


def longest_gap_s(samples: Samples) -> float:
    """Between two looks; much more than `EVERY_S` means that the machine or the soak itself stood still."""
    moments = sorted({one.at_s for ones in samples.values() for one in ones})
    return max((after - before for before, after in pairwise(moments)), default=0.0)


def _medians(samples: list[Sample]) -> Figures:
    def median(value: Callable[[Sample], int]) -> float:
        return statistics.median(map(value, samples))

    return Figures(
        median(lambda one: one.rss),
        median(lambda one: one.pss),
        median(lambda one: one.descriptors),
        median(lambda one: one.threads),
    )


def _sum(figures: list[Figures]) -> Figures:
    return Figures(
        sum(one.rss for one in figures),
        sum(one.pss for one in figures),
        sum(one.descriptors for one in figures),
        sum(one.threads for one in figures),
    )

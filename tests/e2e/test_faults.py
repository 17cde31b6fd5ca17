"""A part of the service hangs or dies while eight clients ask: each gets what is promised, and it comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.live import Live, serving, wait_until

CLIENTS = 8
ALLOWED = {"200", "503", "degraded"}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("faulty")
    with serving(
        folder, generator_model="fake", embedder_model="fake", embedder_timeout_s="1", index_timeout_s="3"
    ) as live:
        live.index([{"id": f"d{number}", "text": f"Bread number {number} is baked at six."} for number in range(20)])
        yield live


def worker(live: Live, name: str) -> int:
    for child in psutil.Process(live.process.pid).children(recursive=True):
        line = child.cmdline()
        if "--service-name" in line and line[line.index("--service-name") + 1] == name:
            return int(child.pid)
    raise AssertionError(f"no worker of {name}")


@contextlib.contextmanager
def stopped(live: Live, name: str) -> Iterator[None]:
    pid = worker(live, name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Clients:
    """Eight clients that search without a break; what they were told, and the last time that it was not the usual."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        self.told: Counter[str] = Counter()
        self.slowest_s = 0.0

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)

    def _work(self) -> None:
        with self._live.client(60) as client:
            while not self._end.is_set():
                began = time.monotonic()
                try:
                    self.told[_search(client)] += 1
                except httpx.HTTPError as exc:
                    self.told[type(exc).__name__] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def _search(client: httpx.Client) -> str:
    answer = client.post("/search", json={"query": "When is bread baked?"})
    if answer.status_code == 200:
        return "degraded" if answer.json()["degraded"] else "200"
    assert answer.status_code != 503 or answer.headers["retry-after"]
    return str(answer.status_code)


def usual(live: Live) -> bool:
    with live.client(10) as client, contextlib.suppress(httpx.HTTPError):
        return _search(client) == "200"
    return False


def test_while_the_embedder_hangs_words_answer_and_soon_without_waiting_for_it(faulty: Live) -> None:
    with stopped(faulty, "Embedder"), Clients(faulty) as clients, faulty.client(30) as client:

        def at_once() -> bool:
            began = time.monotonic()
            return _search(client) == "degraded" and time.monotonic() - began < 1

        wait_until(at_once, 30, "searches do not wait any more")
    assert set(clients.told) <= {"200", "degraded"}, clients.told
    assert clients.slowest_s < 10
    wait_until(lambda: usual(faulty), 20, "the vectors are back")


def test_while_the_index_hangs_searches_are_refused_and_soon_at_once(faulty: Live) -> None:
    with stopped(faulty, "Index"), Clients(faulty) as clients, faulty.client(30) as client:

        def at_once() -> bool:
            began = time.monotonic()
            return _search(client) == "503" and time.monotonic() - began < 0.5

        wait_until(at_once, 30, "searches are refused at once")
        answer = client.post("/llm_query", json={"question": "Are you there?"})
        assert answer.status_code == 200, "what needs no documents is answered"
    assert set(clients.told) <= {"200", "503"}, clients.told
    wait_until(lambda: usual(faulty), 20, "the index is back")


@pytest.mark.parametrize("name", ["Embedder", "Index", "Generator"])
def test_a_killed_part_comes_back_and_nobody_is_told_nonsense(faulty: Live, name: str) -> None:
    with Clients(faulty) as clients:
        os.kill(worker(faulty, name), signal.SIGKILL)
        wait_until(lambda: faulty.get("/readyz").status_code == 200 and usual(faulty), 60, f"{name} is back")
    assert set(clients.told) <= ALLOWED, clients.told

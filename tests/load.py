"""Clients that search without a break, and hands that stop and kill the parts of a service: for tests of faults."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import psutil

from tests.live import Live

CLIENTS = 8
PATIENCE_S = 60.0
QUERY = {"query": "When is bread baked?"}

Ask = Callable[[httpx.Client], str]


def worker(live: Live, name: str) -> int:
    """The process of that service."""
    for child in psutil.Process(live.process.pid).children(recursive=True):
        line = child.cmdline()
        if "--service-name" in line and line[line.index("--service-name") + 1] == name:
            return int(child.pid)
    raise AssertionError(f"no worker of {name}")


@contextlib.contextmanager
def stopped(live: Live, name: str) -> Iterator[None]:
    """The service hangs until the block ends."""
    pid = worker(live, name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Clients:
    """Eight clients that ask without a break; what they were told, how often, and the longest wait."""

    def __init__(self, live: Live, ask: Ask | None = None) -> None:
        """`ask` sends a request and says in a few words what came; a search without one."""
        self._live = live
        self._ask = ask or search
        self._lock = threading.Lock()
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
            thread.join(2 * PATIENCE_S)

    def forget(self) -> None:
        with self._lock:
            self.told.clear()
            self.slowest_s = 0.0

    def _work(self) -> None:
        with self._live.client(PATIENCE_S) as client:
            while not self._end.is_set():
                began = time.monotonic()
                said = told(lambda: self._ask(client))
                with self._lock:
                    self.told[said] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def told(ask: Callable[[], str]) -> str:
    """What `ask` says, or how the connection broke."""
    try:
        return ask()
    except httpx.HTTPError as exc:
        return type(exc).__name__


def search(client: httpx.Client) -> str:
    """The status, or `degraded`."""
    answer = client.post("/search", json=QUERY)
    if answer.status_code == 200:
        return "degraded" if answer.json()["degraded"] else "200"
    assert answer.status_code != 503 or answer.headers["retry-after"]
    return str(answer.status_code)


def usual(live: Live) -> bool:
    """Whether a search gives all that it should."""
    with live.client(10) as client, contextlib.suppress(httpx.HTTPError):
        return search(client) == "200"
    return False

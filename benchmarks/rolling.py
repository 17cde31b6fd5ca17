"""Two gateways behind nginx: is a request lost while they are restarted one by one, or when one is killed?

Writes docs/rolling.md. The parts are services of their own (`tests/split.py`), with the deterministic doubles; nginx
has the configuration of deploy/nginx, with other ports. Ends with 1 where a request was lost.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tests.live import free_port, stop, wait_until
from tests.split import Split, split

from answerbox import __version__
from benchmarks.machine import description
from benchmarks.percentiles import percentile
from benchmarks.processes import ROOT

CLIENTS = 8
REQUESTS = 2_000
"""In each phase, at least."""
GATEWAYS = ("Answerbox-1", "Answerbox-2")
LIMIT_S = 120.0
QUIET_S = 3.0
"""Between two interventions."""
CONFIGURATION = ROOT / "deploy" / "nginx" / "answerbox.conf"
PAGE = ROOT / "docs" / "rolling.md"
TEA = {"id": "tea", "text": "Green tea is best at 80 degrees."}
BODY = {"question": "How hot should green tea be?"}


@dataclass
class Seen:
    """What came of the requests of a phase: statuses, or the names of errors."""

    outcomes: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return self.outcomes.total() - self.outcomes["200"]


class Load:
    """Questions, half of them to the documents, from clients that never pause."""

    def __init__(self, url: str) -> None:
        self.seen = Seen()
        self._url = url
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT_S)

    def phase(self, act: Callable[[], None]) -> Seen:
        """What came while `act` ran, and until there were enough requests."""
        self.seen = seen = Seen()
        act()
        wait_until(lambda: seen.outcomes.total() >= REQUESTS, 600, f"{REQUESTS} requests")
        return seen

    def _ask(self, number: int) -> None:
        path = "/rag_query" if number % 2 else "/llm_query"
        with httpx.Client(base_url=self._url, timeout=LIMIT_S) as client:
            while not self._over.is_set():
                began, seen = time.perf_counter(), self.seen
                try:
                    answer = client.post(path, json=BODY)
                    right = answer.status_code != 200 or "green tea" in answer.json()["answer"].lower()
                    outcome = str(answer.status_code) if right else "wrong answer"
                except httpx.HTTPError as exc:
                    outcome = type(exc).__name__
                seen.outcomes[outcome] += 1
                seen.milliseconds.append((time.perf_counter() - began) * 1_000)


@contextmanager
def nginx(folder: Path, urls: list[str]) -> Iterator[str]:
    """Its address, before the services at `urls`."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        raise SystemExit("nginx is not installed: apt-get install nginx-light")
    port, places = free_port(), iter(urls)
    text = CONFIGURATION.read_text(encoding="utf-8").replace("listen 127.0.0.1:3000", f"listen 127.0.0.1:{port}")
    text = re.sub(r"server 127\.0\.0\.1:\d+", lambda _: f"server {next(places).removeprefix('http://')}", text)
    folder.mkdir()
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen([program, "-p", str(folder), "-c", "nginx.conf"], stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), LIMIT_S, "nginx answers")
        yield url
    finally:
        stop(process)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def nothing() -> None:
    pass


def roll(parts: Split) -> None:
    """Each gateway ends in its own time (SIGTERM) and is ready again before the next one goes."""
    for name in GATEWAYS:
        parts.stop(name)
        parts.again(name)
        threading.Event().wait(QUIET_S)


def kill(parts: Split) -> None:
    for name in GATEWAYS:
        parts.kill(name)
        parts.again(name)
        threading.Event().wait(QUIET_S)


def main() -> None:
    fake = {"generator_model": "fake", "embedder_model": "fake", "fake_token_delay_s": "0.005"}
    with tempfile.TemporaryDirectory() as folder, split(Path(folder, "parts"), len(GATEWAYS), **fake) as parts:
        first = parts.parts[GATEWAYS[0]]
        assert first.index([TEA])["status"] == "succeeded"
        with nginx(Path(folder, "nginx"), [parts.parts[name].url for name in GATEWAYS]) as url, Load(url) as load:
            phases = {
                "nothing happens": load.phase(nothing),
                "each gateway is restarted (SIGTERM), one after the other": load.phase(lambda: roll(parts)),
                "each gateway is killed (SIGKILL) and started again": load.phase(lambda: kill(parts)),
            }
    PAGE.write_text(page(phases), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
    sys.exit(any(seen.lost for seen in phases.values()))


def page(phases: dict[str, Seen]) -> str:
    rows = "\n".join(
        f"| {name} | {seen.outcomes.total()} | {seen.lost} | {_others(seen)} "
        f"| {percentile(seen.milliseconds, 0.5):.0f} | {percentile(seen.milliseconds, 0.99):.0f} |"
        for name, seen in phases.items()
    )
    return f"""# Two gateways behind a proxy

Made by `make rolling` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}.
Generator, Embedder, Index and two gateways, each a service of its own; nginx before the gateways with
[deploy/nginx/answerbox.conf](../deploy/nginx/answerbox.conf). The models are the deterministic doubles. {CLIENTS}
clients ask without a pause, half of them the documents; an answer that does not hold what it must is lost too.

| while | requests | lost | what came instead | median, ms | p99, ms |
|---|---|---|---|---|---|
{rows}

Only whole answers are counted: a stream that has begun breaks with its gateway, and ends without `done`. Generator,
Embedder and Index have no twin: while one of them is restarted, what needs it is refused with 503 and `Retry-After`.
"""


def _others(seen: Seen) -> str:
    return ", ".join(f"{name}: {count}" for name, count in seen.outcomes.items() if name != "200") or "–"


if __name__ == "__main__":
    main()

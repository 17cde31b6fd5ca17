"""Is a request lost while the parts are upgraded or restarted one by one, or when one is killed?

Writes docs/rolling.md. The parts are services of their own (`tests/split.py`), with the deterministic doubles; nginx
has the configuration of deploy/nginx, with other ports. The revision to upgrade from is in `FROM`. Ends with 1 where
a request was lost.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tests.live import Place, free_port, stop, wait_until
from tests.split import Split, anywhere, split

from answerbox import __version__
from benchmarks.machine import description
from benchmarks.percentiles import percentile
from benchmarks.processes import ROOT

CLIENTS = 8
REQUESTS = 2_000
"""In each phase, at least."""
TWINS = ("Embedder", "Generator", "Answerbox")
LIMIT_S = 120.0
QUIET_S = 3.0
"""Between two interventions."""
CONFIGURATION = ROOT / "deploy" / "nginx" / "answerbox.conf"
PAGE = ROOT / "docs" / "rolling.md"
TEA = {"id": "tea", "text": "Green tea is best at 80 degrees."}
SETTINGS = {
    "generator_model": "fake",
    "embedder_model": "fake",
    "fake_token_delay_s": "0.005",
    "index_patience_s": "60",
    "needed_parts": '["generator"]',
}
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
                    outcome = _told(answer)
                except httpx.HTTPError as exc:
                    outcome = f"{type(exc).__name__} {str(exc).rstrip('.')}"
                seen.outcomes[outcome] += 1
                seen.milliseconds.append((time.perf_counter() - began) * 1_000)


def _told(answer: httpx.Response) -> str:
    if answer.status_code == 200:
        return "200" if "green tea" in answer.json()["answer"].lower() else "wrong answer"
    is_problem = answer.headers["content-type"].startswith("application/problem+json")
    return f"{answer.status_code} {answer.json()['code'] if is_problem else 'of the proxy'}"


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


def restart(parts: Split, *services: str) -> None:
    """Each part of those ends in its own time (SIGTERM), and is ready again before the next one goes."""
    for name in names(parts, services):
        parts.stop(name)
        parts.again(name)
        threading.Event().wait(QUIET_S)


def kill(parts: Split, *services: str) -> None:
    for name in names(parts, services):
        parts.kill(name)
        parts.again(name)
        threading.Event().wait(QUIET_S)


def upgrade(parts: Split) -> None:
    """From the code that they were started with to that of the working folder."""
    parts.places = anywhere
    restart(parts, "Embedder", "Generator", "Index", "Answerbox")


def names(parts: Split, services: Sequence[str]) -> list[str]:
    return [name for service in services for name in parts.parts if name.partition("-")[0] == service]


def source_of(revision: str, folder: Path) -> Path:
    """The code of a revision, which calls itself by it."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    package = folder / "src" / "answerbox" / "__init__.py"
    text = package.read_text(encoding="utf-8")
    package.write_text(re.sub(r'__version__ = "([^"]*)"', rf'__version__ = "\1+{revision}"', text), encoding="utf-8")
    return folder / "src"


def versions(parts: Split) -> set[str]:
    return {parts.parts[name].get("/health").json()["version"] for name in names(parts, ["Answerbox"])}


def main() -> None:
    revision = _revision(os.environ.get("FROM", "HEAD"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = source_of(revision, folder / "before")
        with split(folder / "parts", 2, 2, lambda _: Place(source=source), **SETTINGS) as parts:
            gateways = [parts.parts[name] for name in names(parts, ["Answerbox"])]
            assert gateways[0].index([TEA])["status"] == "succeeded"
            before = versions(parts)
            with nginx(folder / "nginx", [gateway.url for gateway in gateways]) as url, Load(url) as load:
                phases = {
                    "nothing happens": load.phase(nothing),
                    "all are upgraded, one part after the other": load.phase(lambda: upgrade(parts)),
                    "each part that has a twin is restarted (SIGTERM)": load.phase(lambda: restart(parts, *TWINS)),
                    "each part that has a twin is killed (SIGKILL)": load.phase(lambda: kill(parts, *TWINS)),
                    "`Index`, which has none, is restarted": load.phase(lambda: restart(parts, "Index")),
                    "`Index` is killed": load.phase(lambda: kill(parts, "Index")),
                }
            assert (before, versions(parts)) == ({f"{__version__}+{revision}"}, {__version__})
    PAGE.write_text(page(phases, revision), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))
    sys.exit(any(seen.lost for seen in phases.values()))


def _revision(name: str) -> str:
    command = ["git", "rev-parse", "--short", name]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def page(phases: dict[str, Seen], revision: str) -> str:
    rows = "\n".join(
        f"| {name} | {seen.outcomes.total()} | {seen.lost} | {_others(seen)} "
        f"| {percentile(seen.milliseconds, 0.5):.0f} | {percentile(seen.milliseconds, 0.99):.0f} "
        f"| {max(seen.milliseconds) / 1_000:.1f} |"
        for name, seen in phases.items()
    )
    return f"""# Upgrades, restarts and deaths under load

Made by `make rolling` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}.
Two gateways, two Generators, two Embedders and one Index, each a service of its own; nginx before the gateways with
[deploy/nginx/answerbox.conf](../deploy/nginx/answerbox.conf). The models are the deterministic doubles. {CLIENTS}
clients ask without a pause, half of them the documents; an answer that does not hold what it must is lost too. The
upgrade is from the code of {revision} to the one that made this page (`make rolling FROM=REVISION`).

| while | requests | lost | what came instead | median, ms | p99, ms | longest, s |
|---|---|---|---|---|---|---|
{rows}

- A part is ready again before the next one goes.
- `Index` owns the data folder and has no twin: a search waits for it (`ANSWERBOX_INDEX_PATIENCE_S`), and gateways
  stay ready without it (`ANSWERBOX_NEEDED_PARTS`). What changes documents is not in this load: it is refused with 503
  and `Retry-After` then.
- Only whole answers are counted. A stream goes on at another Generator where its own dies; it breaks with its gateway.
"""


def _others(seen: Seen) -> str:
    return ", ".join(f"{name}: {count}" for name, count in seen.outcomes.items() if name != "200") or "–"


if __name__ == "__main__":
    main()

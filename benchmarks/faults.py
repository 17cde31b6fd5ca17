"""What eight clients are told while a part hangs or dies, and how long it takes until all is as usual.

Real services with the doubles for the models, so that a start is that of the processes and not of the weights. Writes
docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tests.live import Live, serving, wait_until
from tests.load import CLIENTS, Clients, stopped, usual, worker
from tests.ports.chroma_run import ChromaRun, chroma_run

from answerbox import __version__
from benchmarks.machine import description

PAGE = Path(__file__).parent.parent / "docs" / "reliability.md"
FAKES = {"generator_model": "fake", "embedder_model": "fake"}
HANGS_S = 20.0
BACK_S = 120.0
IDLE = 1_000
TEXTS = [{"id": f"d{number}", "text": f"Bread number {number} is baked at six."} for number in range(50)]

Fault = Callable[[], AbstractContextManager[None]]


@dataclass
class Row:
    """`back_s` is counted from the end of the fault."""

    fault: str
    told: str
    slowest_s: float
    back_s: float


def measure(live: Live, name: str, fault: Fault, lasts_s: float) -> Row:
    """Clients search before, during and after the fault."""
    pause = threading.Event()
    with Clients(live) as clients:
        wait_until(lambda: clients.told["200"] > CLIENTS, 30, "the clients search")
        clients.told.clear()
        with fault():
            pause.wait(lasts_s)
        ended = time.monotonic()
        wait_until(lambda: _is_ready(live), BACK_S, f"ready after {name}")
        wait_until(lambda: usual(live), BACK_S, f"as usual after {name}")
        back = time.monotonic() - ended
    told = ", ".join(f"{count} × {what}" for what, count in sorted(clients.told.items()))
    row = Row(name, told, clients.slowest_s, back)
    print(row, flush=True)
    return row


def _is_ready(live: Live) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return live.get("/readyz").status_code == 200
    return False


def killed(live: Live, name: str) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        os.kill(worker(live, name), signal.SIGKILL)
        yield

    return fault


def server_stopped(server: ChromaRun) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        server.send(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send(signal.SIGCONT)

    return fault


def server_gone(server: ChromaRun) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        server.end()
        try:
            yield
        finally:
            server.start()

    return fault


def idle_connections(live: Live) -> Fault:
    """Connections that say nothing, and half of them half a request."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        host, port = live.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            for number in range(IDLE):
                connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
                if number % 2:
                    connection.sendall(b"POST /llm_query HTTP/1.1\r\nHost: a\r\nContent-Le")
            yield

    return fault


def with_folder(folder: Path) -> list[Row]:
    with serving(folder, **FAKES) as live:
        live.index(TEXTS)
        parts = ("Embedder", "Index", "Generator", "Answerbox")
        rows = [measure(live, f"kill -9 of {part}", killed(live, part), 0) for part in parts]
        for part in ("Embedder", "Index", "Generator"):
            rows.append(measure(live, f"{part} hangs for {HANGS_S:.0f} s", lambda p=part: stopped(live, p), HANGS_S))  # type: ignore[misc]
        name = f"{IDLE:,} idle connections, half of them in half a request"
        return [*rows, measure(live, name, idle_connections(live), 10)]


def with_server(folder: Path) -> list[Row]:
    with chroma_run(folder / "chroma") as server, serving(folder, chroma_url=server.url, **FAKES) as live:
        live.index(TEXTS)
        return [
            measure(live, f"the Chroma server hangs for {HANGS_S:.0f} s", server_stopped(server), HANGS_S),
            measure(live, "the Chroma server is gone for 10 s", server_gone(server), 10),
        ]


def page(rows: list[Row]) -> str:
    lines = [f"| {row.fault} | {row.told} | {row.slowest_s:.1f} | {row.back_s:.1f} |" for row in rows]
    table = "\n".join(lines)
    return f"""# Reliability

Made by `make faults` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}.
{CLIENTS} clients search without a break (`POST /search`, both halves) while a part is killed or hangs. The models are
the doubles, so a start is that of the processes; loading weights comes on top. `degraded`: 200, by words alone, and
said so. 503 has a `Retry-After`. A name that ends in `Error` is a connection that broke. "As usual" (ready, and a
search gives both halves) is counted from the end of the fault.
How: `benchmarks/faults.py`; the same promises are tested in `tests/e2e/test_faults.py` and `test_stopping.py`.

| fault | the clients were told | slowest answer, s | as usual after, s |
|---|---|---|---|
{table}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [*with_folder(Path(folder) / "folder"), *with_server(Path(folder) / "server")]
    PAGE.write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()

"""A real `chroma run` for the tests, which can be killed, stopped for a while and started again."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.live import BIN, free_port, wait_until

START_LIMIT_S = 60.0


@dataclass
class ChromaRun:
    path: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def launch(self) -> None:
        self.process = subprocess.Popen(
            [str(BIN / "chroma"), "run", "--path", str(self.path), "--host", "127.0.0.1", "--port", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def start(self) -> None:
        self.launch()
        wait_until(self._is_ready, START_LIMIT_S, "chroma run is ready")

    def send(self, sign: signal.Signals) -> None:
        """A process goes on for a moment after SIGSTOP was sent: waits until all of them stand still."""
        assert self.process
        os.killpg(self.process.pid, sign)
        if sign == signal.SIGSTOP:
            wait_until(self._stands_still, START_LIMIT_S, "chroma run stands still")

    def _stands_still(self) -> bool:
        assert self.process
        processes = [psutil.Process(self.process.pid)]
        processes += processes[0].children(recursive=True)
        threads = [thread for process in processes for thread in Path(f"/proc/{process.pid}/task").iterdir()]
        return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)

    def end(self, sign: signal.Signals = signal.SIGKILL) -> None:
        if self.process:
            self.send(sign)
            self.process.wait(30)
            self.process = None

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/healthcheck", timeout=1).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def chroma_run(folder: Path) -> Iterator[ChromaRun]:
    server = ChromaRun(folder / "chroma")
    server.start()
    try:
        yield server
    finally:
        server.end()

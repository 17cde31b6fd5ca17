"""A real OpenAI-compatible server: `transformers serve` with the embedded model, as a process."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from answerbox.adapters.model_store import find
from tests.live import BIN, START_LIMIT_S, STOP_LIMIT_S, free_port, wait_until

MODEL = "smollm2-135m-instruct"


@contextmanager
def transformers_serve(folder: Path) -> Iterator[str]:
    """The address of its API, until the block ends."""
    (folder / "hub").mkdir()  # without a cache that server cannot list its models
    port = free_port()
    command = [BIN / "transformers", "serve", find(MODEL).path, "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(
            [*map(str, command), "--device", "cpu"],
            env=env,
            cwd=folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _healthy(process, port, folder / "log"), START_LIMIT_S, "the server answers")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _stop(process)


def _healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-5_000:]
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

"""A process and all that it has started: start it, wait for it, stop it; its memory and its work."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import psutil
from tests.live import free_port, wait_until

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 240.0
STOP_LIMIT_S = 15.0


def tree(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def rss_bytes(pid: int) -> int:
    """Resident memory of the tree; pages that its processes share count once for each."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += int(process.memory_info().rss)
    return total


def cpu_seconds(pid: int) -> float:
    """Processor time that the processes of the tree have used so far."""
    total = 0.0
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += float(times.user + times.system)
    return total


def environment(**more: str) -> dict[str, str]:
    """This process's, without its settings of Answerbox; the project's code can be imported."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSWERBOX_")}
    return {**env, "HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]), **more}


@contextlib.contextmanager
def http_server(command: Sequence[str], log: Path, ready: str, env: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Runs `command` with `{port}` filled in until the block ends; gives its address and process id.

    Raises:
        AssertionError: `ready`, a path, did not answer 200 in time; the message ends with the log.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [part.replace("{port}", str(port)) for part in command],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}")
        try:
            return httpx.get(url + ready, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        try:
            wait_until(answers, START_LIMIT_S, f"{command[-1]} answers")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{log.read_text(errors='replace')[-3000:]}") from None
        yield url, process.pid
    finally:
        stop(process)


def stop_on_sigterm() -> None:
    """From now on SIGTERM ends this process as an exception does: what it has started is stopped."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started in a session of its own, and whatever it leaves behind there."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_LIMIT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

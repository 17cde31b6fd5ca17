"""A real `bentoml serve` for the tests: on a free port, with a home and a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource

from answerbox.settings import variable

BIN = Path(sys.executable).parent
WHOLE = "answerbox.service:Answerbox"
OURS = ("ANSWERBOX_", "LANGFUSE_", "OTEL_")
START_LIMIT_S = 180.0
STOP_LIMIT_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], object], limit_s: float, what: str) -> Any:
    """What `true` returns once that is truthy; fails after `limit_s`."""
    end = time.monotonic() + limit_s
    pause = threading.Event()
    while True:
        if result := true():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit_s} s: {what}")
        pause.wait(0.05)


def usual_home() -> Path:
    return Path(os.environ.get("BENTOML_HOME", Path.home() / "bentoml"))


def home_with_models(folder: Path) -> Path:
    """A BENTOML_HOME with the models of the usual one, if it has none, and nothing else (metrics, Bentos)."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "models").exists():
        (folder / "models").symlink_to(usual_home() / "models")
    return folder


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    """Name and data of each event of a stream, as they come."""
    for sent in EventSource(response).iter_sse():
        yield sent.event, sent.json()


@dataclass
class Live:
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    def client(self, timeout: float = 300.0) -> httpx.Client:
        limits = httpx.Limits(max_connections=None)
        return httpx.Client(base_url=self.url, timeout=timeout, limits=limits)

    def post(self, path: str, body: Any) -> httpx.Response:
        with self.client() as client:
            return client.post(path, json=body)

    def get(self, path: str) -> httpx.Response:
        with self.client() as client:
            return client.get(path)

    def index(self, documents: list[dict[str, Any]], limit_s: float = 300.0) -> dict[str, Any]:
        """Posts the documents and waits for the job."""
        answer = self.post("/documents", {"documents": documents})
        assert answer.status_code == 202, answer.text
        path = f"/jobs/{answer.json()['job_id']}"

        def finished() -> dict[str, Any] | None:
            job: dict[str, Any] = self.get(path).json()
            return job if job["finished_at"] else None

        job: dict[str, Any] = wait_until(finished, limit_s, path)
        return job


@dataclass(frozen=True)
class Place:
    """Where and how a service runs.

    `within` begins its command, which is `command` in the place of `bentoml serve TARGET`; `source` is another `src`
    folder than the installed one.
    """

    host: str = "127.0.0.1"
    port: str | None = None
    within: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    source: Path | None = None


def start(folder: Path, target: str = WHOLE, place: Place = Place(), /, **settings: str) -> Live:
    """Starts the service, in a process group of its own, and waits until it is ready.

    `settings` are environment variables without their prefix, in any case: `generator_model="fake"`.
    """
    port = place.port or str(free_port())
    command = place.command or (str(BIN / "bentoml"), "serve", target)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "serve.log"
    env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    env |= {
        "BENTOML_HOME": str(home_with_models(folder / "home")),
        "BENTOML_DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": "1",
        "ANSWERBOX_DATA_DIR": str(folder / "data"),
        "ANSWERBOX_SEED_DOCS": "false",
        **{variable(name.lower()): value for name, value in settings.items()},
        **({"PYTHONPATH": str(place.source)} if place.source else {}),
    }
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [*place.within, *command, "--host", place.host, "--port", port],
            env=env,
            cwd=folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    live = Live(f"http://{place.host}:{port}", process, log, folder)
    try:
        _wait_until_ready(live)
    except BaseException:
        stop(process)
        raise
    return live


@contextmanager
def serving(folder: Path, target: str = WHOLE, **settings: str) -> Iterator[Live]:
    """Serves until the block ends; then the process group must be gone. Settings as in `start`.

    With `ANSWERBOX_TEST_SPLIT` each part is a service of its own (`split.py`), with the data in the same place.
    """
    if target == WHOLE and os.environ.get("ANSWERBOX_TEST_SPLIT"):
        from tests.split import split

        with split(folder, **{"data_dir": str(folder / "data"), **settings}) as running:
            yield replace(running.parts["Answerbox-1"], folder=folder)
        return
    live = start(folder, target, **settings)
    try:
        yield live
    finally:
        stop(live.process)


def _wait_until_ready(live: Live) -> None:
    def ready() -> bool:
        if live.process.poll() is not None:
            raise AssertionError(f"the service ended with {live.process.returncode}:\n{live.log.read_text()[-5000:]}")
        try:
            return live.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(ready, START_LIMIT_S, "the service is ready")
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{live.log.read_text()[-5000:]}") from None


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise AssertionError("the service did not stop") from None

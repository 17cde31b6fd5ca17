"""answerbox serve: what can go wrong is checked first, in words; then `bentoml serve` runs until it is told to stop."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn, get_args

import httpx
import typer

from answerbox import keys
from answerbox.adapters import model_store
from answerbox.adapters.data_folder import DataFolder
from answerbox.cli.parts import Part
from answerbox.contracts import PipelineName
from answerbox.errors import SetupError
from answerbox.settings import Settings, load_settings

POLL_S = 0.25
STOP_WAIT_S = 3.0
STOP_SPARE_S = 15.0
"""Beyond what running requests are given, before force is used."""
DEATHS = 2  # BentoML replaces a worker that dies, for ever, but in a container; after so many the start has failed
CONTAINER = ("BENTOML_CONTAINERIZED", "BENTOCLOUD_DEPLOYMENT_URL")  # by which BentoML tells that it runs in one
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
EXAMPLE = (
    """  curl -s {url}/{pipeline}_query -H 'Content-Type: application/json' -d '{{"question": "What is HTTP?"}}'"""
)


def run(host: str, port: int, part: Part, target: str, open_: bool) -> NoReturn:
    """Serves until a signal ends the process, with exit code 0. No process that it started is left behind.

    `target` is what `bentoml serve` runs as that part. Raises SetupError: what `check` finds, or the service ended by
    itself.
    """
    settings = load_settings()
    check(settings, part, host, port)
    if part is Part.gateway:
        _check_keys(settings, host, open_)
    url = _url(host, port)
    typer.echo(f"{part.service} is starting: the models are being loaded ...")
    with _bentoml(target, host, port, settings.shutdown_s + STOP_SPARE_S) as child:
        _wait_until_ready(child, part, url)
        typer.echo(f"{part.service} is ready: {url}")
        if part is Part.gateway:
            pipeline = next(name for name in get_args(PipelineName) if name in settings.served)
            typer.echo(EXAMPLE.format(url=url, pipeline=pipeline))
        raise _watched(child)


def check(settings: Settings, part: Part, host: str, port: int) -> None:
    """Raises SetupError: a busy port, a missing model, a data folder in use; only what that part needs."""
    _check_port(host, port)
    try:
        for tag in part.models(settings):
            model_store.find(tag)
    except OSError as exc:
        raise SetupError(f"The model store cannot be used: {exc}.", hint="BENTOML_HOME says where it is.") from exc
    if part.owns_data(settings):
        DataFolder(settings.data_dir).release()


def _check_keys(settings: Settings, host: str, open_: bool) -> None:
    if not keys.required(settings.keys_path, settings.env) and not open_ and not _is_loopback(host):
        raise SetupError(
            f"On {host} others reach the service, and there are no API keys.",
            hint=f"{keys.MAKE_ONE} Or say --open.",
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            reason = f"port {port} is in use" if exc.errno == errno.EADDRINUSE else exc.strerror
            hint = "Choose another with PORT= or HOST=, such as `make serve PORT=3001`."
            raise SetupError(f"{host}:{port} cannot be served on: {reason}.", hint=hint) from None


def _url(host: str, port: int) -> str:
    """Where this machine reaches the service."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _bentoml(target: str, host: str, port: int, stop_limit_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """`bentoml serve`, in a session of its own: a Ctrl-C reaches it once, from here, and not each worker too."""
    _on_stop(lambda *_: sys.exit(0))
    libc = ctypes.CDLL(None)
    # A worker has its own session as well. Whose parent has died becomes a child of this process, which ends it.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    child = subprocess.Popen(
        [bentoml, "serve", target, "--host", host, "--port", str(port)],
        env={"BENTOML_DO_NOT_TRACK": "true", "TOKENIZERS_PARALLELISM": "false", **os.environ},
        start_new_session=True,
        preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),  # if this process is killed outright
    )
    try:
        yield child
    finally:
        _on_stop(signal.SIG_IGN)
        _end(child, stop_limit_s)


def _on_stop(handler: Any) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _end(child: subprocess.Popen[bytes], limit_s: float) -> None:
    """Ends BentoML in good order, and whatever is then left of it with force."""
    end = time.monotonic() + limit_s
    while child.poll() is None and time.monotonic() < end:
        child.terminate()  # while its workers start, BentoML lets a signal drop
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(STOP_WAIT_S)
    child.kill()
    child.wait()
    while orphans := _children(os.getpid()):
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _children(pid: int) -> set[int]:
    try:
        files = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return {int(number) for file in files for number in file.read_text().split()}
    except OSError:  # it has just ended
        return set()


def _wait_until_ready(child: subprocess.Popen[bytes], part: Part, url: str) -> None:
    """Until the models are loaded and Answerbox's own documents are indexed. Says what is still to come."""
    missing_at = _missing_at if part is Part.gateway else _unready_at
    said, workers, deaths = list[str](), set[int](), 1 if _in_container() else DEATHS
    while child.poll() is None:
        workers |= (alive := _children(child.pid))
        if len(workers - alive) >= deaths:
            raise SetupError("A part of the service cannot start; its reason stands above. Put that right.")
        with contextlib.suppress(httpx.HTTPError, ValueError, LookupError):
            missing = missing_at(url)
            if not missing:
                return
            if missing != said:
                typer.echo(f"{part.service} is waiting for: {', '.join(missing)}")
                said = missing
        time.sleep(POLL_S)
    raise _ended(child)


def _in_container() -> bool:
    return any(name in os.environ for name in CONTAINER)


def _watched(child: subprocess.Popen[bytes]) -> SetupError:
    """How the service ended.

    In a container BentoML replaces no worker that dies: then the service must end as a whole, so that the platform
    starts it anew.
    """
    if not _in_container():
        child.wait()
        return _ended(child)
    workers = _children(child.pid)
    while child.poll() is None:
        if workers - _children(child.pid):
            return SetupError("A part of the service has died, and in a container none takes its place.")
        time.sleep(POLL_S)
    return _ended(child)


def _missing_at(url: str) -> list[str]:
    answer = httpx.get(url + "/health", timeout=5, trust_env=False)
    if answer.status_code != HTTPStatus.UNAUTHORIZED:
        return _missing(answer.json())
    return _unready_at(url)


def _unready_at(url: str) -> list[str]:
    """Of a gateway that asks for keys, and of a part, which has no /health."""
    return [] if httpx.get(url + "/readyz", timeout=5, trust_env=False).is_success else ["its parts"]


def _missing(health: dict[str, Any]) -> list[str]:
    parts = health["dependencies"]
    if missing := [name for name, part in parts.items() if not part["ready"]]:
        return missing
    if parts.get("index", {}).get("detail", {}).get("waiting"):
        return ["documents to be indexed"]
    return [] if health["status"] == "ok" else ["the first answer"]


def _ended(child: subprocess.Popen[bytes]) -> SetupError:
    code = child.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended by itself with exit code {code}"
    return SetupError(f"`bentoml serve` {how}; its reason stands above.")

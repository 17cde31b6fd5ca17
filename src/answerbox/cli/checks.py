"""The checks of `answerbox doctor`, each a function that says what it found and what to do about it.

They may raise: `doctor.py` makes a finding of that as well. What is said holds no value that may be secret; so a
server goes by the name of its setting, for its address may have a password in it.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.gpu import NVIDIA_DRIVER, has_gpu
from answerbox.errors import DataFolderBusy, SetupError, Unavailable
from answerbox.settings import Settings, variable

MIB, GIB = 2**20, 2**30
OLDEST_PYTHON = (3, 11)
CORES = 2
MEMORY = 4 * GIB
KEPT_BY_KERNEL = 0.1
"""Of the memory that is built in, the kernel keeps about so much for itself."""
ROOM = GIB
LEAST_ROOM = 100 * MIB
SERVER_S = 5.0
IMPORT_S = 9.0
CGROUP = Path("/sys/fs/cgroup")
OTHER_VARIABLES = {"ANSWERBOX_URL", "ANSWERBOX_API_KEY"}
"""Of the command line, which are no settings."""
CHROMA_PORT = 8000
"""Where Chroma's client looks for `http://` without a port."""
UNLISTED = (404, 405, 501)
CLOSED = (401, 403)
OURS = "urn:answerbox:problem:"


class Status(StrEnum):
    ok = "ok"
    warning = "warning"
    failure = "failure"


@dataclass(frozen=True)
class Finding:
    status: Status
    found: str
    hint: str = ""


def ok(found: str) -> Finding:
    return Finding(Status.ok, found)


def warning(found: str, hint: str) -> Finding:
    return Finding(Status.warning, found, hint)


def failure(found: str, hint: str) -> Finding:
    return Finding(Status.failure, found, hint)


def wrong_settings(exc: SetupError, variables: Iterable[str]) -> Finding:
    found = " ".join([exc.message, *_unread(variables)])
    return failure(found, exc.hint or "Put these variables right; docs/configuration.md has what is allowed.")


def right_settings(variables: Iterable[str]) -> Finding:
    """`variables` are the names in the environment."""
    if unread := _unread(variables):
        return warning(unread[0], "Is a name misspelt? docs/configuration.md lists them.")
    count = len(_ours(variables) - OTHER_VARIABLES)
    return ok(f"{count} set in the environment, the others at their defaults.")


def python(version: tuple[int, ...]) -> Finding:
    name = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return failure(f"Python {name} is too old.", "Install Python 3.11 or newer, then `make setup`.")
    return ok(f"Python {name}.")


def cpu(cores: float) -> Finding:
    found = f"{cores:.3g} CPU cores."
    if cores < CORES:
        return warning(found, f"Answers will be slow; {CORES} cores or more are better.")
    return ok(found)


def memory(size: int) -> Finding:
    found = f"{size / GIB:.1f} GiB of memory."
    if size < MEMORY * (1 - KEPT_BY_KERNEL):
        return warning(found, "The embedded models need 2.1 GB; 4 GiB or more leave room for documents and requests.")
    return ok(found)


def usable_cores(cgroup: Path = CGROUP) -> float:
    """Those that this process may run on; in a container also no more than its share."""
    cores = float(len(os.sched_getaffinity(0)))
    share, _, period = _text(cgroup / "cpu.max").partition(" ")
    return min(cores, int(share) / int(period)) if share.isdecimal() else cores


def usable_memory(cgroup: Path = CGROUP) -> int:
    """Bytes; in a container no more than its share."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    share = _text(cgroup / "memory.max").strip()
    return min(size, int(share)) if share.isdecimal() else size


def disk(path: Path, variable: str, room: int = ROOM, least: int = LEAST_ROOM) -> Finding:
    """`variable` says where the folder is."""
    free = shutil.disk_usage(_nearest(path)).free
    found = f"{free / GIB:.1f} GiB are free at {path}."
    if free >= room:
        return ok(found)
    return (failure if free < least else warning)(found, f"Make room, or choose another folder with {variable}.")


def model_store_folder() -> Path:
    """Where BentoML keeps the models."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml") / "models"


def model(tag: str) -> Finding:
    """Raises: ModelMissing."""
    from answerbox.adapters import model_store

    try:
        return ok(f"{model_store.find(tag).tag} is in the model store.")
    except OSError as exc:
        return failure(f"The model store cannot be used: {exc.strerror}.", "BENTOML_HOME says where it is.")


def data_folder(path: Path) -> Finding:
    """Leaves a folder that is not there unmade. Raises: SetupError."""
    if not path.exists():
        return _makeable(path)
    try:
        DataFolder(path).release()
    except DataFolderBusy as exc:
        return warning(f"A service is running on it. {exc.message}", exc.hint or "")
    return ok(f"{path} can be written, and no service uses it.")


def openvino(settings: Settings) -> Finding:
    """In a process of its own: on some processors the import ends the process that does it."""
    if settings.engine != "openvino" and has_gpu(settings.device):
        return ok("It is not needed: the models run on a GPU.")
    command = [sys.executable, "-c", "import answerbox.adapters.silent_openvino"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=IMPORT_S, check=False)
    except subprocess.TimeoutExpired:
        return warning(f"OpenVINO was not imported within {IMPORT_S:.0f} s.", "Is the machine busy? Try again.")
    if done.returncode == 0:
        return ok("OpenVINO can be imported.")
    hint = "Run `make setup`. If that does not help, set ANSWERBOX_ENGINE=transformers."
    return failure(f"OpenVINO cannot be imported: {_reason(done)}.", hint)


def gpu(settings: Settings) -> Finding:
    if settings.device in ("auto", "cpu") and not has_gpu(settings.device):
        if settings.device == "auto" and NVIDIA_DRIVER.exists():
            return warning(
                "There is an NVIDIA driver, but torch does not see a GPU; models run on the CPU.",
                "Install torch with CUDA, or set ANSWERBOX_DEVICE=cpu.",
            )
        return ok(f"Models run on the CPU (ANSWERBOX_DEVICE is {settings.device}).")
    from answerbox.adapters.torch_device import device_of

    try:
        return ok(f"Models run on {device_of(settings.device)} (ANSWERBOX_DEVICE is {settings.device}).")
    except SetupError as exc:
        return failure(exc.message, exc.hint or "Use auto or cpu.")


def chroma(url: str) -> Finding:
    """Raises: Unavailable."""
    who = "The Chroma server"
    hint = "Is it running? ANSWERBOX_CHROMA_URL says where, as http://HOST:PORT."
    try:
        address = heartbeat(url)
    except ValueError:
        return failure("ANSWERBOX_CHROMA_URL is no address.", "Write it as http://HOST:PORT.")
    answer = _answer(who, address, hint, {"trust_env": False})
    if answer.status_code in CLOSED:
        return failure(_status(who, answer), "Write ANSWERBOX_CHROMA_URL as http://USER:PASSWORD@HOST:PORT.")
    return ok(f"{who} answers.") if answer.is_success else failure(_status(who, answer), hint)


def heartbeat(url: str) -> str:
    """What of that server is asked; the port is the one that Chroma's client takes. Raises: ValueError."""
    parts = urlsplit(url)
    port = f":{CHROMA_PORT}" if parts.scheme == "http" and parts.port is None else ""
    return f"{parts.scheme}://{parts.netloc}{port}{parts.path.rstrip('/')}/api/v2/heartbeat"


def llm_server(url: str, key: str, wanted: str | None) -> Finding:
    """Raises: Unavailable."""
    who = "The language model's server"
    hint = "Is it running? ANSWERBOX_LLM_BASE_URL says where, such as http://HOST:8000/v1."
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = _answer(who, f"{url.rstrip('/')}/models", hint, {"headers": headers})
    if answer.status_code in CLOSED:
        return failure(_status(who, answer), "Set ANSWERBOX_LLM_API_KEY to a key of that server.")
    if answer.status_code in UNLISTED and wanted:
        return warning(f"{who} does not list its models.", f"See whether it has {wanted!r}.")
    return _listed(who, answer, wanted) if answer.is_success else failure(_status(who, answer), hint)


def port(host: str, number: int) -> Finding:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
    except OSError as exc:
        hint = "Choose another with PORT= or HOST=, such as `make serve PORT=3001`."
        if exc.errno != errno.EADDRINUSE:
            return failure(f"{host}:{number} cannot be served on: {exc.strerror}.", hint)
        if _is_answerbox(host, number):
            return warning(f"A service is running on port {number} of {host}.", hint)
        return failure(f"Port {number} of {host} is in use.", hint)
    return ok(f"Port {number} of {host} is free.")


def _unread(variables: Iterable[str]) -> list[str]:
    """A misspelt setting is passed over by the service in silence."""
    known = OTHER_VARIABLES | {variable(name) for name in Settings.model_fields}
    unread = sorted(_ours(variables) - known)
    return [f"Nothing reads {', '.join(unread)}."] if unread else []


def _ours(variables: Iterable[str]) -> set[str]:
    return {name.upper() for name in variables if name.upper().startswith("ANSWERBOX_")}


def _answer(who: str, address: str, hint: str, options: dict[str, Any]) -> httpx.Response:
    """Raises: Unavailable, without the words of the error: they may have the address in them."""
    try:
        return httpx.get(address, timeout=SERVER_S, **options)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        raise Unavailable(f"{who} does not answer ({type(exc).__name__}).", hint=hint) from None


def _status(who: str, answer: httpx.Response) -> str:
    return f"{who} answers with HTTP {answer.status_code}."


def _listed(who: str, answer: httpx.Response, wanted: str | None) -> Finding:
    try:
        names = [str(model["id"]) for model in answer.json()["data"] or []]
    except (ValueError, LookupError, TypeError):
        hint = "ANSWERBOX_LLM_BASE_URL is the address of an OpenAI-compatible server; mostly it ends in /v1."
        return failure(f"{who} answers, but with no list of models.", hint)
    if wanted is None and not names:
        return failure(f"{who} has no model.", "Load one there.")
    if wanted is not None and wanted not in names:
        return warning(f"{who} does not list {wanted!r}.", "Is ANSWERBOX_LLM_MODEL right?")
    return ok(f"{who} answers; its model is {wanted or names[0]!r}.")


def _is_answerbox(host: str, number: int) -> bool:
    """Any path that is not there will do: the problem says whose it is, with keys and without."""
    place = f"[{host}]" if ":" in host else host
    try:
        answer = httpx.get(f"http://{place}:{number}/doctor", timeout=SERVER_S, trust_env=False)
        return str(answer.json()["type"]).startswith(OURS)
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return False


def _makeable(path: Path) -> Finding:
    above = _nearest(path)
    if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return ok(f"{path} is not there yet and can be made.")
    return failure(
        f"{path} cannot be made: {above} is no folder that can be written.", "Choose another with ANSWERBOX_DATA_DIR."
    )


def _nearest(path: Path) -> Path:
    """The path itself, or what there is above it."""
    whole = path.absolute()
    return next(place for place in (whole, *whole.parents) if place.exists())


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the import was ended by {signal.Signals(-done.returncode).name}"
    lines = done.stderr.strip().splitlines()
    return lines[-1].rstrip(".") if lines else f"exit code {done.returncode}"


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""

"""An image run by docker, podman or buildah, as far as `benchmarks.image` needs it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.live import free_port, wait_until

from benchmarks.processes import tree

USER = 1034
STOP_S = 90.0


@dataclass(frozen=True)
class Stopped:
    """What came of a SIGTERM. `written` are files that are new or changed outside of /data and /tmp."""

    exit_code: int
    seconds: float
    written: list[str]


class Running(Protocol):
    url: str

    def pid(self) -> int:
        """Of the container's first process, on this machine."""

    def log(self) -> str: ...

    def stop(self) -> Stopped: ...


class Engine(Protocol):
    name: str
    root: str
    """In words: what was done so that nothing is written to the root file system, or it is seen."""
    not_tried: str

    def look(self, *command: str) -> str:
        """What the command says, run in the image."""

    def answerbox(self, *arguments: str) -> str:
        """What `answerbox` says, with the volume."""

    def start(self) -> Running: ...

    def size(self) -> str: ...


def said(*command: str | Path) -> str:
    """Raises: AssertionError: it failed; with what it said of that."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr[-2000:]}"
    return done.stdout.strip()


@contextmanager
def engine(backend: str, tag: str) -> Iterator[Engine]:
    """With a new volume, which is gone at the end, as is every container. Raises: AssertionError."""
    if backend == "buildah":
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            made = Buildah(tag, Path(folder))
            try:
                yield made
            finally:
                made.remove()
        return
    docker = Docker(backend, tag)
    try:
        yield docker
    finally:
        docker.remove()


class Docker:
    """docker and podman, whose commands are the same here."""

    root = "read-only, with /tmp as a tmpfs"
    not_tried = ""

    def __init__(self, name: str, tag: str) -> None:
        self.name = name
        self._tag = tag
        self._volume = said(name, "volume", "create")
        self._containers: list[str] = []

    def look(self, *command: str) -> str:
        return said(self.name, "run", "--rm", "--entrypoint", command[0], self._tag, *command[1:])

    def answerbox(self, *arguments: str) -> str:
        return said(self.name, "run", "--rm", "--volume", f"{self._volume}:/data", self._tag, *arguments)

    def start(self) -> DockerRunning:
        port = free_port()
        options = ("--detach", "--read-only", "--tmpfs", "/tmp", "--publish", f"127.0.0.1:{port}:3000")
        id_ = said(self.name, "run", *options, "--volume", f"{self._volume}:/data", self._tag)
        self._containers.append(id_)
        return DockerRunning(self.name, id_, f"http://127.0.0.1:{port}")

    def size(self) -> str:
        return said(self.name, "images", "--format", "{{.Size}}", self._tag)

    def remove(self) -> None:
        for id_ in self._containers:
            said(self.name, "rm", "--force", id_)
        said(self.name, "volume", "rm", self._volume)


@dataclass
class DockerRunning:
    name: str
    id: str
    url: str

    def pid(self) -> int:
        return int(said(self.name, "inspect", "--format", "{{.State.Pid}}", self.id))

    def log(self) -> str:
        return said(self.name, "logs", "--tail", "50", self.id)

    def stop(self) -> Stopped:
        began = time.perf_counter()
        said(self.name, "stop", "--time", f"{STOP_S:.0f}", self.id)
        seconds = time.perf_counter() - began
        code = int(said(self.name, "inspect", "--format", "{{.State.ExitCode}}", self.id))
        return Stopped(code, seconds, [])


class Buildah:
    """For a machine without an engine; it starts each command in the container anew, on the host's network."""

    name = "buildah"
    root = "not read-only, but looked through afterwards"
    not_tried = "docker and podman, "

    def __init__(self, tag: str, volume: Path) -> None:
        self._buildah = ["buildah"]
        if subprocess.run(["buildah", "info"], capture_output=True, check=False).returncode:
            self._buildah += ["--storage-driver", "vfs"]
        self._tag = tag
        self._volume = volume
        shutil.chown(volume, USER, USER)
        self._container = said(*self._buildah, "from", "--pull-never", tag)
        self.running: BuildahRunning | None = None

    def look(self, *command: str) -> str:
        return said(*self._run(), *command)

    def answerbox(self, *arguments: str) -> str:
        return said(*self._run(), "answerbox", *arguments)

    def start(self) -> BuildahRunning:
        port = free_port()
        root = Path(said(*self._buildah, "mount", self._container))
        log = self._volume / "log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [*self._run("--env", f"PORT={port}"), "answerbox", "serve"],
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running = BuildahRunning(process, root, log, f"http://127.0.0.1:{port}")
        return self.running

    def size(self) -> str:
        return said(*self._buildah, "images", "--format", "{{.Size}}", self._tag)

    def remove(self) -> None:
        if self.running and self.running.process.poll() is None:
            self.running.stop()
        said(*self._buildah, "rm", self._container)

    def _run(self, *options: str) -> list[str]:
        return [*self._buildah, "run", *options, "--volume", f"{self._volume}:/data", self._container, "--"]


class BuildahRunning:
    def __init__(self, process: subprocess.Popen[bytes], root: Path, log: Path, url: str) -> None:
        self.process, self.url = process, url
        self._root, self._log, self._began = root, log, time.time()

    def pid(self) -> int:
        """Above it stand buildah's own, which pass no signal on."""
        return next((one.pid for one in tree(self.process.pid) if one.name() == "answerbox"), self.process.pid)

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")[-5000:]

    def stop(self) -> Stopped:
        began = time.perf_counter()
        os.kill(self.pid(), signal.SIGTERM)
        wait_until(lambda: self.process.poll() is not None, STOP_S, "the container has ended")
        return Stopped(self.process.returncode, time.perf_counter() - began, self._written())

    def _written(self) -> list[str]:
        others = ("data", "tmp", "dev", "proc", "sys", "run")  # the last is written by buildah itself
        found = []
        for path in self._root.rglob("*"):
            place = path.relative_to(self._root)
            if place.parts[0] not in others and path.lstat().st_mtime > self._began:
                found.append(f"/{place}")
        return found

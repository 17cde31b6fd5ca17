"""An engine's process, seen from outside: start it, talk to it, end it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection

from answerbox.adapters.generation.engine import Broken, Command, EngineInfo, EngineSpec, Ready, Report
from answerbox.errors import AnswerboxError, GeneratorUnavailable, from_wire

END_LIMIT_S = 10.0


class EngineGone(Exception):
    """The process has ended, or was ended."""


class EngineProcess:
    def __init__(self, spec: EngineSpec) -> None:
        ours, theirs = socket.socketpair()
        self._sending = threading.Lock()
        self._connection: Connection[object, object] = Connection(ours.detach())
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "answerbox.adapters.generation.host", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a signal to the terminal's group is not for it
            )
        self._connection.send(spec)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, limit_s: float) -> EngineInfo:
        """Blocks until the model is loaded.

        Raises:
            SetupError, ModelMissing: it cannot be loaded.
            GeneratorUnavailable: not in time, or the process died. It is ended then.
        """
        try:
            return self._ready(limit_s)
        except AnswerboxError:
            self.kill()
            raise

    def _ready(self, limit_s: float) -> EngineInfo:
        try:
            if not self._connection.poll(limit_s):
                raise GeneratorUnavailable(f"The language model was not loaded within {limit_s:g} seconds.")
            report = self._connection.recv()
        except (EOFError, OSError) as exc:
            raise GeneratorUnavailable("The language model's process ended while it was loading.") from exc
        if isinstance(report, Broken):
            raise from_wire(report.wire)
        assert isinstance(report, Ready)
        return report.info

    def send(self, command: Command) -> None:
        """A process that is gone is noticed by `receive`; here it is no failure."""
        with self._sending, contextlib.suppress(OSError):
            self._connection.send(command)

    def receive(self, limit_s: float) -> Report | None:
        """The next report, None where there is none in time. Raises: EngineGone."""
        try:
            if not self._connection.poll(limit_s):
                return None
            return self._connection.recv()  # type: ignore[return-value]
        except (EOFError, OSError) as exc:
            raise EngineGone from exc

    def close(self) -> None:
        """Asks the process to end after its step, and ends it where it does not."""
        with contextlib.suppress(OSError):
            self._connection.close()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._connection.close()

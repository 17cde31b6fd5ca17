"""The process that reads files, seen from outside: start it, ask it, end it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import Any

START_LIMIT_S = 30.0
END_LIMIT_S = 2.0
OUT_OF_MEMORY = 77
"""The exit status by which the process says so."""

MAX_REPLY = 64 * 2**20
"""Bytes; the longest document is shorter. What is longer was not written by our code."""

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
BLOCK = 2**18


class Gone(Exception):
    """It has ended, by itself or of a signal; the text says how."""


class OutOfMemory(Gone):
    """It has ended because the file needed more memory than it may take."""


class TooLate(Exception):
    """There was no reply in time."""


class ReaderProcess:
    """`files` counts those that it was given."""

    def __init__(self, memory_mb: int, timeout_s: float) -> None:
        """Raises: Gone, TooLate, OSError, where it does not start."""
        self.files = 0
        self._buffer = bytearray()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-B",
                "-W",
                "ignore",
                "-m",
                "answerbox.documents.reader_host",
                str(memory_mb),
                str(timeout_s),
            ],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a signal to the terminal's group is not for it
        )
        try:
            self.receive(time.monotonic() + START_LIMIT_S)
        except (Gone, TooLate):
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, request: dict[str, Any]) -> None:
        """Raises: Gone."""
        self.files += 1
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._end() from None

    def receive(self, end: float) -> dict[str, Any]:
        """The next reply. Raises: Gone, TooLate."""
        searched = 0
        while (place := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._buffer += self._read(end)
            if len(self._buffer) > MAX_REPLY:
                raise Gone("its reply has no end")
        line = bytes(self._buffer[:place])
        del self._buffer[: place + 1]
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _read(self, end: float) -> bytes:
        assert self._process.stdout
        output = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        if not poll.poll(max(0.0, end - time.monotonic()) * 1_000):
            raise TooLate
        data = os.read(output, BLOCK)
        if not data:
            raise self._end()
        return data

    def _end(self) -> Gone:
        """How it ended; it is ended where it was not."""
        try:
            code = self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code == OUT_OF_MEMORY:
            return OutOfMemory("out of memory")
        return Gone(f"signal {-code}" if code < 0 else f"exit status {code}")

    def stop(self) -> None:
        """Ends it; whoever waits for its reply sees `Gone`."""
        self._process.kill()

    def kill(self) -> None:
        """Ends it; nobody may wait for its reply."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with contextlib.suppress(OSError):  # what was not written yet is of no use
                    pipe.close()


def _environment() -> dict[str, str]:
    """None of the service's secrets; the libraries as they are here; no memory set aside for threads."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "MALLOC_ARENA_MAX": "1"}

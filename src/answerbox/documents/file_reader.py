"""The port `FileReader`: files are read one at a time, in a process that can be ended."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from answerbox.contracts import DocumentIn
from answerbox.documents.reader_process import Gone, OutOfMemory, ReaderProcess, TooLate
from answerbox.errors import InternalError, InvalidRequest, Unavailable, from_wire
from answerbox.ports import FileIn

log = logging.getLogger(__name__)

FILES_EACH = 200
"""A process is replaced after so many files: what libraries forget to free goes with it."""


class ProcessFileReader:
    def __init__(self, timeout_s: float, memory_mb: int, files_each: int = FILES_EACH) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._files_each = files_each
        self._turn = threading.Lock()
        self._process: ReaderProcess | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process that waits for the next file."""
        process = self._process
        return process.pid if process and process.alive else None

    def read(self, path: Path, file: FileIn) -> list[DocumentIn]:
        """As the port says. Also raises: Unavailable, where no process can be started, or after `close`."""
        with self._turn:
            try:
                return self._in_two_attempts(path.absolute(), file)
            except OutOfMemory:
                raise InvalidRequest(
                    f"{file.name!r} needs more memory than {self._memory_mb} MiB (ANSWERBOX_READING_MEMORY_MB). "
                    "Split it into several files."
                ) from None
            except TooLate:
                raise InvalidRequest(
                    f"{file.name!r} took longer than {self._timeout_s:g} s to read (ANSWERBOX_READING_TIMEOUT_S). "
                    "Split it into several files."
                ) from None
            except Gone as exc:
                raise InvalidRequest(
                    f"{file.name!r} cannot be read: the process that read it ended ({exc}). The file is damaged, or "
                    f"needs more memory than {self._memory_mb} MiB (ANSWERBOX_READING_MEMORY_MB)."
                ) from None

    def close(self) -> None:
        """Ends the process, also in the middle of a file."""
        self._closed = True
        if process := self._process:
            process.stop()
        with self._turn:
            self._end_process()

    def _in_two_attempts(self, path: Path, file: FileIn) -> list[DocumentIn]:
        """A file is to blame only for the end of a process that has read nothing before it."""
        process = self._ready_process()
        try:
            return self._attempt(process, path, file)
        except Gone:
            if process.files == 1:
                raise
            log.info("%r is read again, in a new process", file.name)
        return self._attempt(self._ready_process(), path, file)

    def _attempt(self, process: ReaderProcess, path: Path, file: FileIn) -> list[DocumentIn]:
        try:
            return _documents(process, path, file, time.monotonic() + self._timeout_s)
        except InvalidRequest:
            raise
        except BaseException:
            self._end_process()
            if self._closed:
                raise Unavailable("The service is closing.") from None
            raise

    def _ready_process(self) -> ReaderProcess:
        process = self._process
        if process and (not process.alive or process.files >= self._files_each):
            self._end_process()
        if self._process is None and not self._closed:
            self._process = self._started()
        if self._process is None or self._closed:
            raise Unavailable("The service is closing.")
        return self._process

    def _started(self) -> ReaderProcess:
        try:
            return ReaderProcess(self._memory_mb, self._timeout_s)
        except (Gone, TooLate, OSError) as exc:
            log.error("the process that reads files does not start: %s", exc)
            raise Unavailable(f"The process that reads files does not start ({exc}).") from exc

    def _end_process(self) -> None:
        if self._process:
            self._process.kill()
        self._process = None


def _documents(process: ReaderProcess, path: Path, file: FileIn, end: float) -> list[DocumentIn]:
    """What comes from a process that may be in a stranger's hands."""
    process.send({"path": str(path), "file": asdict(file)})
    found: list[DocumentIn] = []
    try:
        while "end" not in (reply := process.receive(end)):
            found.append(_document(reply))
    except (ValueError, KeyError, TypeError, ValidationError) as exc:
        raise InternalError("The process that reads files answered what makes no sense.") from exc
    return found


def _document(reply: dict[str, Any]) -> DocumentIn:
    if "error" in reply:
        raise from_wire(reply["error"])
    return DocumentIn.model_validate(reply["document"])

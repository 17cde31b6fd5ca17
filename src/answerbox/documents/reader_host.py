"""The process that reads files: a request a line on its input, documents as lines on its output.

Run as `python -m answerbox.documents.reader_host MEMORY_MB TIMEOUT_S`. Files may be made to do harm, so it has little:
bounded memory and time, no file that it could write, no network, no secret in its environment. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from answerbox.documents.formats.read import documents
from answerbox.documents.reader_process import OUT_OF_MEMORY
from answerbox.errors import InvalidRequest
from answerbox.ports import FileIn

NICENESS = 10
SPARE_CPU_S = 5
OPEN_FILES = 64
RECURSION = 3_000
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.remove", "os.rename")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def main() -> None:
    memory_mb, timeout_s = int(sys.argv[1]), float(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    os.nice(NICENESS)
    replies = _private_output()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bound(memory_mb)
    _send(replies, {"ready": True})
    try:
        for line in sys.stdin.buffer:
            _bound_cpu(timeout_s)
            for reply in _replies(json.loads(line)):
                _send(replies, reply)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # there may be none left to say more


def _private_output() -> BinaryIO:
    """The way to the parent, out of reach of a library that prints."""
    private = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # a log file could not be written any more, see RLIMIT_FSIZE
    return private


def _end_with_parent() -> None:
    """A hang-up shows even while the main thread is busy with a file."""
    poll = select.poll()
    poll.register(0, 0)
    poll.poll()
    os._exit(0)


def _bound(memory_mb: int) -> None:
    memory = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    sys.setrecursionlimit(RECURSION)
    sys.modules["numpy"] = None  # type: ignore[assignment]  # openpyxl would load it, and needs it not
    sys.addaudithook(_forbid)


def _bound_cpu(timeout_s: float) -> None:
    """The parent's clock ends a file that takes too long; this, where there is no parent any more."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    resource.setrlimit(resource.RLIMIT_CPU, (int(used + timeout_s) + SPARE_CPU_S, resource.RLIM_INFINITY))


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if writes or event.startswith(FORBIDDEN):
        raise PermissionError(f"reading a file needs no {'writing' if writes else event}")


def _replies(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for document in documents(Path(request["path"]), FileIn(**request["file"])):
            yield {"document": document.model_dump(mode="json", exclude_unset=True)}
        yield {"end": True}
    except InvalidRequest as exc:
        yield {"error": exc.to_wire()}


def _send(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply, ensure_ascii=False).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()

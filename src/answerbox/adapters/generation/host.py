"""The process around an engine: takes commands between two steps, reports what each step made.

Run as `python -m answerbox.adapters.generation.host FD`, where FD is one end of a socket pair. It ends when the
other end is closed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from multiprocessing.connection import Connection

from answerbox import logs
from answerbox.adapters.generation.engine import (
    Add,
    Broken,
    Cancel,
    Command,
    Engine,
    EngineSpec,
    Failed,
    OutOfMemory,
    Ready,
)
from answerbox.errors import AnswerboxError, SetupError
from answerbox.settings import load_settings

log = logging.getLogger(__name__)

STDERR = 2
"""The output of a notebook or a command is its own."""
NICENESS = 5
"""The engine takes every core it can get; who takes requests in, and refuses them, goes first."""


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # they are for the parent, which closes the connection
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    logs.install(load_settings(), "Engine", STDERR)
    connection: Connection[object, object] = Connection(int(sys.argv[1]))
    spec = connection.recv()
    assert isinstance(spec, EngineSpec)
    try:
        engine = spec.build()
    except Exception as exc:
        error = exc if isinstance(exc, AnswerboxError) else _unusable(exc)
        connection.send(Broken(error.to_wire()))
        return
    connection.send(Ready(engine.info))
    try:
        Host(engine, connection).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent has gone
        logging.shutdown()
        os._exit(0)  # an engine may have threads that would not end


class Host:
    def __init__(self, engine: Engine, connection: Connection[object, object]) -> None:
        self._engine = engine
        self._connection = connection
        self._epoch = 0

    def run(self) -> None:
        while True:
            while not self._engine.busy or self._connection.poll():
                self._obey(self._connection.recv())  # type: ignore[arg-type]
            try:
                made = self._engine.step()
            except Exception as exc:
                self._fail(exc)
            else:
                self._connection.send(made)  # also an empty one: it says that there is progress

    def _obey(self, command: Command) -> None:
        if isinstance(command, Cancel):
            self._engine.cancel(command.row_id)
        elif isinstance(command, Add) and command.epoch == self._epoch:
            for row in command.rows:
                self._engine.add(row)

    def _fail(self, exc: Exception) -> None:
        log.exception("a step of the language model failed")
        self._engine.clear()
        self._epoch += 1
        self._connection.send(Failed(self._epoch, isinstance(exc, OutOfMemory | MemoryError)))


def _unusable(exc: Exception) -> SetupError:
    log.error("the language model cannot be loaded", exc_info=exc)
    return SetupError(f"The language model cannot be loaded: {type(exc).__name__}: {exc}")


if __name__ == "__main__":
    main()

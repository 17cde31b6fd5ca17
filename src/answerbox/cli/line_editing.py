"""Arrow keys and the memory of what was typed, where Python has readline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEPT_LINES = 1_000


def history_file() -> Path:
    """In the user's folder for state, as the XDG Base Directory Specification has it."""
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    state = named if named.is_absolute() else Path.home() / ".local" / "state"
    return state / "answerbox" / "chat_history"


@contextmanager
def line_editing() -> Iterator[None]:
    """Makes `input` edit lines and remember those of earlier times, which only this user may read."""
    try:
        import readline
    except ImportError:  # a Python that was built without it
        yield
        return
    file = history_file()
    with suppress(OSError):  # without a place to keep them lines are edited all the same
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        readline.read_history_file(file)
    before = readline.get_current_history_length()
    readline.set_history_length(KEPT_LINES)
    try:
        yield
    finally:
        with suppress(OSError):
            readline.append_history_file(readline.get_current_history_length() - before, file)

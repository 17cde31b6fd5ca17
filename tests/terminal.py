"""`answerbox chat` in a terminal of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect

from tests.live import BIN

LIMIT_S = 60.0
"""The command loads for seconds where other work runs too."""


@contextmanager
def terminal(state: Path, url: str, *arguments: str) -> Iterator[pexpect.spawn]:
    """The command, ended in the end; it keeps what is typed in the folder `state`."""
    env = {**os.environ, "XDG_STATE_HOME": str(state), "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    words = ["chat", "--url", url, *arguments]
    size = (50, 200)
    child = pexpect.spawn(str(BIN / "answerbox"), words, env=env, encoding="utf-8", timeout=LIMIT_S, dimensions=size)
    try:
        yield child
    finally:
        child.close(force=True)

"""Tools that an operator might register, good and bad; the service of `test_agent.py` imports them by name."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Literal

from answerbox.tools import tool


def length(value: float, unit: Literal["km", "mi"]) -> str:
    """Converts a length to metres."""
    return f"{value * (1_000 if unit == 'km' else 1_609.344):g} m"


async def broken() -> str:
    """Raises."""
    raise RuntimeError("the password of the inside is hunter2")


@tool(timeout_s=0.5)
def stuck() -> str:
    """Hangs."""
    threading.Event().wait()
    return "never"


@tool(side_effects=True)
def note(text: str) -> str:
    """Writes a note."""
    with (_folder() / "notes.txt").open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")
    return "written"


@tool(side_effects=True)
def wipe() -> str:
    """Deletes everything."""
    (_folder() / "wiped.txt").touch()
    return "wiped"


def _folder() -> Path:
    """Of the service, wherever this part of it runs."""
    return Path(os.environ["ANSWERBOX_DATA_DIR"]).parent

"""What the readers of all formats share: what they return, how they fail, how text is tidied and bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from answerbox.contracts import MAX_DOCUMENT_CHARS

_UNWANTED = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff]")
_FENCE = re.compile(r"\s*(```|~~~)")
_NO_TITLE = re.compile(
    r"untitled|без имени|document\s?\d*|документ\s?\d*|powerpoint presentation|презентация powerpoint|book\s?\d*"
    r"|slide \d+|.*\.(docx?|pptx?|xlsx?|pdf|indd|tex|dvi|qxd|rtf|tmp)",
    re.IGNORECASE,
)


class Unreadable(Exception):
    """Why a file cannot be read, as the rest of a sentence that begins with its name."""


@dataclass(frozen=True)
class Content:
    """`title` is what the file says of itself; `pages` are the places in the text where its pages start."""

    text: str
    title: str | None = None
    pages: list[int] | None = None


def too_long() -> Unreadable:
    return Unreadable(f"has more than {MAX_DOCUMENT_CHARS:,} characters of text. Split it into several files.")


def joined(parts: Iterable[str], between: str = "\n\n") -> tuple[str, list[int]]:
    """All parts as one text, and where each starts. Stops, with `Unreadable`, where the text is too long."""
    kept: list[str] = []
    starts: list[int] = []
    length = 0
    for part in parts:
        length += len(between) if kept else 0
        kept.append(part)
        starts.append(length)
        length += len(part)
        if length > MAX_DOCUMENT_CHARS:
            raise too_long()
    return between.join(kept), starts


def tidy(text: str) -> str:
    """Without control characters and halves of characters; a line ends with a line feed."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0b", "\n").replace("\x0c", "\n")
    return _UNWANTED.sub("", lines)


def row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    escaped = (" ".join(tidy(cell).split()).replace("|", "\\|") for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def first_heading(text: str) -> str | None:
    """The first Markdown heading of the top level that is not inside a block of code."""
    in_code = False
    for line in text.splitlines():
        if _FENCE.match(line):
            in_code = not in_code
        elif line.startswith("# ") and not in_code:
            return line[2:].strip() or None
    return None


def sensible_title(title: object) -> str | None:
    """A title out of a file's properties, unless a program made it up."""
    if not isinstance(title, str):
        return None
    words = " ".join(tidy(title).split())
    return None if len(words) < 2 or _NO_TITLE.fullmatch(words) else words

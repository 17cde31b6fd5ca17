"""Markdown, plain text, tables of comma separated values, JSON Lines."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path

from answerbox.documents.formats.base import Content, Unreadable, joined, tidy
from answerbox.documents.formats.encoding import MAX_BYTES, read_text

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 50
MAX_JSONL_BYTES = 256 * 2**20


def read_plain(path: Path) -> Content:
    return Content(tidy(read_text(path)))


def read_csv(path: Path) -> Content:
    """A paragraph for each row, which names the columns, so that it can be understood alone."""
    csv.field_size_limit(MAX_BYTES)
    lines = tidy(read_text(path)).split("\n")
    rows = (cells for cells in csv.reader((line + "\n" for line in lines), delimiter=delimiter(lines)) if any(cells))
    try:
        header = [_cell(cell) for cell in next(rows, [])]
        first = next(rows, None)
        if first is None:
            return Content("; ".join(filter(None, header)))
        return Content(joined(filter(None, (_told(header, cells) for cells in _all(first, rows))))[0])
    except csv.Error as exc:
        raise Unreadable(f"is not a table of comma separated values: {exc}.") from None


def delimiter(lines: list[str]) -> str:
    """What divides most rows of the beginning into the same number of cells, more than one; else a comma."""
    return max(DELIMITERS, key=lambda char: _evenness(lines, char))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a JSON Lines file that are not blank, with their numbers."""
    if path.stat().st_size > MAX_JSONL_BYTES:
        raise Unreadable(f"is larger than {MAX_JSONL_BYTES // 2**20} MiB. Split it into several files.")
    number = 0
    with path.open(encoding=_encoding(path), newline="\n") as file:
        try:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
        except UnicodeDecodeError as exc:
            raise Unreadable(f"is not {exc.encoding.upper()}: {exc.reason}, after line {number}.") from None


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _evenness(lines: list[str], char: str) -> int:
    try:
        widths = Counter(len(cells) for cells in islice(csv.reader(lines, delimiter=char), SAMPLE_ROWS) if cells)
    except csv.Error:
        return 0
    return max((count for width, count in widths.items() if width > 1), default=0)


def _all(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest


def _told(header: list[str], cells: list[str]) -> str:
    pairs = zip_longest(header, cells, fillvalue="")
    return "; ".join(f"{name}: {_cell(value)}" if name else _cell(value) for name, value in pairs if value.strip())


def _cell(value: str) -> str:
    return " ".join(value.split())

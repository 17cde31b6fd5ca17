"""Workbooks: a heading for each sheet, a row of a table for each row. Formulas are the values last computed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from answerbox.documents.formats import archive
from answerbox.documents.formats.base import Content, joined, row, sensible_title, tidy


def read_sheets(path: Path) -> Content:
    from openpyxl import load_workbook

    archive.check(path)
    with path.open("rb") as file:  # not the path: an upload's name has no suffix, which openpyxl would want
        workbook = load_workbook(file, read_only=True, data_only=True, keep_links=False)
        text, _ = joined(_lines(workbook.worksheets), "\n")
    return Content(text.strip(), title=sensible_title(workbook.properties.title))


def _lines(sheets: list[Any]) -> Iterator[str]:
    for sheet in sheets:
        rows = _rows(sheet)
        first = next(rows, None)
        if first is None:
            continue
        yield f"\n## {' '.join(tidy(sheet.title).split())}\n"
        yield row(first)
        yield row("---" for _ in first)
        yield from map(row, rows)


def _rows(sheet: Any) -> Iterator[list[str]]:
    """Those that are not empty, without the empty cells at their ends."""
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    for values in sheet.iter_rows(values_only=True):
        cells = [shown(value) for value in values]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells


def shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value).strip()

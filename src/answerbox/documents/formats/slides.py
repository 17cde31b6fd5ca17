"""Presentations: a slide is a page, its title a heading, its notes come last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from answerbox.documents.formats import archive
from answerbox.documents.formats.base import Content, joined, row, sensible_title, tidy


def read_slides(path: Path) -> Content:
    from pptx import Presentation

    archive.check(path)
    presentation = Presentation(str(path))
    text, pages = joined(_page(slide) for slide in presentation.slides)
    return Content(text, title=sensible_title(presentation.core_properties.title), pages=pages)


def _page(slide: Any) -> str:
    title = slide.shapes.title
    heading = _line(title.text_frame.text) if title is not None else ""
    parts = [f"# {heading}"] if heading else []
    parts += _parts(shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id)
    notes = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
    if notes is not None and _line(notes.text):
        parts.append(f"Notes: {tidy(notes.text).strip()}")
    return "\n\n".join(parts)


def _parts(shapes: Iterable[Any]) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _parts(shape.shapes)
        elif getattr(shape, "has_table", False):
            yield _table(shape.table)
        elif shape.has_text_frame and (text := _text(shape)):
            yield text


def _table(table: Any) -> str:
    rows = [row(cell.text for cell in cells.cells) for cells in table.rows]
    return "\n".join([rows[0], row("---" for _ in table.columns), *rows[1:]]) if rows else ""


def _text(shape: Any) -> str:
    """The paragraphs of a placeholder are points of a list, where there are several; those of a box are not."""
    paragraphs = [(each.level, _line(each.text)) for each in shape.text_frame.paragraphs]
    filled = [(level, text) for level, text in paragraphs if text]
    if shape.is_placeholder and len(filled) > 1:
        return "\n".join(f"{'  ' * level}- {text}" for level, text in filled)
    return "\n\n".join(text for _, text in filled)


def _line(text: str) -> str:
    return " ".join(tidy(text).split())

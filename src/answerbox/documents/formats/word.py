"""Word documents as Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import ZipFile

from answerbox.documents.formats import archive
from answerbox.documents.formats.base import Content, sensible_title
from answerbox.documents.formats.web import markdown

STYLES = "p[style-name='Title'] => h1:fresh"
PROPERTIES = "docProps/core.xml"
TITLE = "{http://purl.org/dc/elements/1.1/}title"


def read_word(path: Path) -> Content:
    import mammoth

    archive.check(path)
    with path.open("rb") as file:
        html = mammoth.convert_to_html(
            file, style_map=STYLES, include_embedded_style_map=False, convert_image=_no_image
        ).value
    return Content(markdown(html)[0], title=_title(path))


def _no_image(_image: Any) -> list[Any]:
    return []


def _title(path: Path) -> str | None:
    with ZipFile(path) as file:
        if PROPERTIES not in file.namelist():
            return None
        root = archive.parsed(file.read(PROPERTIES))
    return sensible_title(root.findtext(TITLE))

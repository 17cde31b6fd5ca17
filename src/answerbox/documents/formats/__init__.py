"""The formats that are read, a file for each family. Their libraries are loaded where they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from answerbox.documents.formats.base import Content
from answerbox.documents.formats.pdf import read_pdf
from answerbox.documents.formats.plain import read_csv, read_plain
from answerbox.documents.formats.sheets import read_sheets
from answerbox.documents.formats.slides import read_slides
from answerbox.documents.formats.web import read_web
from answerbox.documents.formats.word import read_word

READERS: dict[str, Callable[[Path], Content]] = {
    ".csv": read_csv,
    ".docx": read_word,
    ".htm": read_web,
    ".html": read_web,
    ".markdown": read_plain,
    ".md": read_plain,
    ".pdf": read_pdf,
    ".pptx": read_slides,
    ".txt": read_plain,
    ".xlsx": read_sheets,
}
"""Each makes one document of a file."""

MANY = ".jsonl"
"""Each line of such a file is a document."""

SUFFIXES = tuple(sorted([*READERS, MANY]))

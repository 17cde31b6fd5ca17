"""PDF files: the text that is in them, page by page. Pictures of text are not read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from answerbox.documents.formats.base import Content, Unreadable, joined, sensible_title, tidy

MAX_PAGES = 100_000
_HYPHEN = re.compile(r"[\ufffe\u00ad]\s*")
_LIGATURES = re.compile(r"[\ufb00-\ufb06]")
_SHORT = 0.7
"""A line that ends a sentence and is so much shorter than the longest one ends a paragraph."""


def read_pdf(path: Path) -> Content:
    pdf = _opened(path)
    try:
        if len(pdf) > MAX_PAGES:
            raise Unreadable(f"has more than {MAX_PAGES:,} pages. Split it into several files.")
        text, pages = joined(_pages(pdf))
        title = sensible_title(pdf.get_metadata_value("Title"))
    finally:
        pdf.close()
    if not text.strip():
        raise Unreadable(
            "has no text in it, only pictures: it was scanned, perhaps. Text in pictures is not read (OCR)."
        )
    return Content(text, title=title, pages=pages)


def _opened(path: Path) -> Any:
    from pypdfium2 import PdfDocument, PdfiumError
    from pypdfium2.raw import FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY

    try:
        return PdfDocument(path)
    except PdfiumError as exc:
        if exc.err_code in (FPDF_ERR_PASSWORD, FPDF_ERR_SECURITY):
            raise Unreadable("is protected by a password. Save it without one.") from None
        raise Unreadable(f"is damaged: {str(exc).rstrip('.')}.") from None


def _pages(pdf: Any) -> Iterator[str]:
    for number in range(len(pdf)):
        yield _page(pdf, number)


def _page(pdf: Any, number: int) -> str:
    from pypdfium2 import PdfiumError

    try:
        page = pdf[number]
        textpage = page.get_textpage()
    except PdfiumError:  # one damaged page; the others can be read
        return ""
    try:
        return flowing(textpage.get_text_bounded())
    finally:
        textpage.close()
        page.close()


def flowing(text: str) -> str:
    """Words that were divided are whole, and paragraphs are apart."""
    whole = _HYPHEN.sub("", text)
    letters = _LIGATURES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), whole)
    lines = [line.strip() for line in tidy(letters).split("\n")]
    longest = max(map(len, lines))
    parted = (line + "\n" if _ends_paragraph(line, longest) else line for line in lines)
    return "\n".join(parted).strip()


def _ends_paragraph(line: str, longest: int) -> bool:
    return line.endswith((".", "!", "?", "…", ":")) and len(line) < _SHORT * longest

"""A name and a content that do not agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from answerbox.documents.formats import SUFFIXES
from answerbox.errors import InvalidRequest
from tests.file_kit import archive, docx, paragraph, pdf, pptx, read_one, xlsx

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
WORD, ZIP = docx(paragraph("x")), archive({"a": "b"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pdf", ZIP, "is not a PDF: its content looks like a ZIP archive"),
        ("a.pdf", WORD, "is not a PDF: its content looks like a Word document"),
        ("a.pdf", b"hello", "is not a PDF: its content looks like plain text"),
        ("a.pdf", b"", "is empty"),
        ("a.docx", pdf(["x"]), "is not a Word document: its content looks like a PDF"),
        ("a.docx", xlsx({"S": [["x"]]}), "is not a Word document: its content looks like an Excel workbook"),
        ("a.xlsx", pptx([("x", [], "")]), "is not an Excel workbook: its content looks like a PowerPoint presentation"),
        ("a.pptx", b"<!DOCTYPE html><p>", "is not a PowerPoint presentation: its content looks like an HTML page"),
        ("a.docx", b"\x00\x01\x02", "is not a Word document: its content looks like no format"),
        ("a.txt", pdf(["x"]), "is not text: its content looks like a PDF"),
        ("a.md", WORD, "is not text: its content looks like a Word document"),
        ("a.csv", b"\x89PNG\r\n", "is not text: its content looks like a PNG picture"),
        ("a.jsonl", b"\x1f\x8b\x08", "is not text: its content looks like a gzip archive"),
        ("a.docx", OLE, "is an old Office document. Save it as .docx"),
        ("a.xlsx", OLE + "EncryptedPackage".encode("utf-16-le"), "is protected by a password"),
        ("a.DOC", OLE, "is an old Office document. Save it as .docx"),
        ("a.xls", OLE, "is an old Office document. Save it as .xlsx"),
        ("a.png", b"x", "is of no format that can be read, which are .*" + r".*".join(SUFFIXES)),
        ("readme", b"x", "is of no format that can be read"),
    ],
)
def test_a_file_is_refused_with_what_it_looks_like(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"^'{name}' {message}"):
        read_one(tmp_path, name, content)


def test_a_suffix_in_capitals_is_the_same(tmp_path: Path) -> None:
    assert read_one(tmp_path, "A.PDF", pdf(["x"])).text == "x"

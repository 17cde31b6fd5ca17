"""PDF files: text page by page."""

from __future__ import annotations

from pathlib import Path

import pytest

from answerbox.documents.formats.pdf import flowing
from answerbox.errors import InvalidRequest
from tests.file_kit import pdf, read_one

PAGES = ["The first page.\nIt has two lines.", "", "Третья страница: привет.\nЕщё строка."]


def test_every_page_starts_where_it_is_said_to(tmp_path: Path) -> None:
    document = read_one(tmp_path, "a.pdf", pdf(PAGES))
    assert document.pages
    ends = [*document.pages[1:], len(document.text)]
    assert [document.text[start:end].strip() for start, end in zip(document.pages, ends, strict=True)] == PAGES


def test_the_properties_give_the_title_unless_a_program_made_it_up(tmp_path: Path) -> None:
    titles = {"Отчёт за год": "Отчёт за год", "Microsoft Word - a.docx": "report", "untitled": "report", "": "report"}
    for written, title in titles.items():
        assert read_one(tmp_path, "report.pdf", pdf(["x"], title=written)).title == title


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(pdf(["x"], encrypted=True), "protected by a password", id="encrypted"),
        pytest.param(pdf(["", ""]), r"no text in it, only pictures.*OCR", id="scanned"),
        pytest.param(pdf(["x"])[:150], "damaged", id="cut-off"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=rf"^'a\.pdf' .*{reason}"):
        read_one(tmp_path, "a.pdf", content)


def test_divided_words_are_whole_and_ligatures_are_letters() -> None:
    assert flowing("an exam\ufffe\r\nple of e\ufb03ciency") == "an example of efficiency"


def test_a_short_line_that_ends_a_sentence_ends_the_paragraph() -> None:
    lines = "A line as long as the page is wide, or so.\nIt ends here.\nAnother paragraph begins on this line,\nand on"
    assert flowing(lines) == lines.replace("here.\n", "here.\n\n")

"""Word, PowerPoint and Excel."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile

import pytest

from answerbox.documents.formats import archive as checks
from answerbox.documents.formats.sheets import shown
from answerbox.errors import InvalidRequest
from tests.file_kit import archive, docx, listed, paragraph, pptx, read_one, table, written, xlsx

ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'


def test_a_word_document_keeps_headings_lists_and_tables(tmp_path: Path) -> None:
    content = docx(
        paragraph("Отпуск", "Title"),
        paragraph("Сколько дней", "2"),
        paragraph("Двадцать восемь a_b_c *d*."),
        listed("раз"),
        listed("два"),
        table([["Год", "Дни"], ["2024", "28"]]),
        title="Из свойств",
    )
    document = read_one(tmp_path, "a.docx", content)
    assert document.text == (
        "# Отпуск\n\n## Сколько дней\n\nДвадцать восемь a_b_c *d*.\n\n- раз\n- два\n\n"
        "| Год | Дни |\n| --- | --- |\n| 2024 | 28 |"
    )
    assert (document.title, document.pages) == ("Отпуск", None)


def test_the_properties_give_the_title_where_there_is_no_heading(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.docx", docx(paragraph("x"), title="Из свойств")).title == "Из свойств"
    assert read_one(tmp_path, "a.xlsx", xlsx({"S": [["x"]]}, title="Prices")).title == "Prices"
    assert read_one(tmp_path, "b/a.xlsx", xlsx({"S": [["x"]]})).title == "a"


def test_a_slide_is_a_page_with_its_title_its_points_and_its_notes(tmp_path: Path) -> None:
    content = pptx([("Plan", ["one", "two"], "Say hello."), ("Итог", ["всё"], "")], title="PowerPoint Presentation")
    document = read_one(tmp_path, "a.pptx", content)
    first = "# Plan\n\n- one\n- two\n\nNotes: Say hello."
    assert document.text == first + "\n\n# Итог\n\nвсё"
    assert document.pages == [0, len(first) + 2]
    assert document.title == "Plan"


def test_a_sheet_is_a_table_under_its_name(tmp_path: Path) -> None:
    rows: list[list[object]] = [["Name", "Цена", None], [None, None], ["a|b\nc", 1.5, None], ["d", True]]
    text = read_one(tmp_path, "a.xlsx", xlsx({"Первый": rows, "Empty": [], "Two": [["x"]]})).text
    assert text == (
        "## Первый\n\n| Name | Цена |\n| --- | --- |\n| a\\|b c | 1.5 |\n| d | TRUE |\n\n## Two\n\n| x |\n| --- |"
    )


def test_a_formula_is_its_value(tmp_path: Path) -> None:
    sheet = "xl/worksheets/sheet1.xml"
    with ZipFile(written(tmp_path / "source", xlsx({"S": [["Sum"], [5]]}))) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts[sheet] = parts[sheet].replace(b"<v>5</v>", b"<f>2+3</f><v>5</v>")
    assert read_one(tmp_path, "a.xlsx", archive(parts)).text.endswith("| 5 |")


def test_cells_are_shown_as_people_write_them() -> None:
    values = [None, False, 3.0, 0.1 + 0.2, datetime(2024, 5, 1), datetime(2024, 5, 1, 9, 30), date(2024, 5, 1), " x "]
    assert [shown(value) for value in values] == [
        "", "FALSE", "3", "0.3", "2024-05-01", "2024-05-01 09:30:00", "2024-05-01", "x",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx", "a.pptx"])
def test_an_office_file_without_text_is_refused(name: str, tmp_path: Path) -> None:
    empty = {"a.docx": docx(), "a.xlsx": xlsx({"S": [[None]]}), "a.pptx": pptx([("", [], "")])}
    with pytest.raises(InvalidRequest, match=f"'{name}' has no text in it"):
        read_one(tmp_path, name, empty[name])


@pytest.mark.parametrize("part", ["word/document.xml", "word/styles.xml", "_rels/.rels"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_part_that_declares_entities_is_refused(part: str, encoding: str, tmp_path: Path) -> None:
    content = docx(paragraph("x"), more={part: f"<!-- x -->{ENTITIES}<x>&b;</x>".encode(encoding)})
    with pytest.raises(InvalidRequest, match=r"'a\.docx' declares XML entities"):
        read_one(tmp_path, "a.docx", content)


def test_an_archive_that_says_it_is_huge_is_not_unpacked(tmp_path: Path) -> None:
    content = docx(paragraph("x"), more={"word/media/x": bytes(checks.RATIO_FROM + 1)})
    with pytest.raises(InvalidRequest, match="packed more than 300-fold"):
        read_one(tmp_path, "a.docx", content)


def test_an_archive_that_is_larger_than_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_UNPACKED", 2**20)
    with pytest.raises(InvalidRequest, match="larger than 1 MiB when it is unpacked"):
        read_one(tmp_path, "a.docx", docx(paragraph("x"), more={"word/media/x": bytes(2**20)}))


def test_an_archive_of_very_many_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_ENTRIES", 10)
    with pytest.raises(InvalidRequest, match="more than 10 parts"):
        read_one(tmp_path, "a.docx", docx(paragraph("x"), more={f"word/{number}": "" for number in range(10)}))


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path: Path) -> None:
    content = docx(paragraph("x"), more={"word/media/x": bytes(70_001)})
    lie = content.replace((70_001).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    assert lie != content
    with pytest.raises(InvalidRequest, match=r"'a\.docx' is damaged"):
        read_one(tmp_path, "a.docx", lie)


def test_an_archive_packed_in_another_way_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "source", docx(paragraph("x")))
    with ZipFile(path, "a", ZIP_BZIP2) as file:
        file.writestr("word/media/x", b"x" * 1000)
    with pytest.raises(InvalidRequest, match="packed in a way"):
        read_one(tmp_path, "a.docx", path.read_bytes())


def test_a_document_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"'a\.docx' is not a Word document: its content looks like a ZIP archive"):
        read_one(tmp_path, "a.docx", docx(paragraph("x"))[:600])


def test_a_part_that_is_no_xml_is_a_damage(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"damaged: word/document\.xml is not XML"):
        read_one(tmp_path, "a.docx", docx(more={"word/document.xml": "<<<"}))

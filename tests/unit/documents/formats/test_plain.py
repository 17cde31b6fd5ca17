"""Text files: their encodings, tables, lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from answerbox.contracts import MAX_DOCUMENT_CHARS
from answerbox.documents.formats import encoding
from answerbox.documents.formats.base import Unreadable
from answerbox.errors import InvalidRequest
from tests.file_kit import read_all, read_one

RUSSIAN = "Договор об оказании услуг заключён, оплата производится в течение 10 дней."


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "cp1251", "koi8-r", "cp866"])
@pytest.mark.parametrize("text", ["Привет, мир", "Оплата 5 дней", RUSSIAN, RUSSIAN * 50, RUSSIAN.upper()])
def test_russian_is_read_in_any_encoding(text: str, codec: str, tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.txt", text.encode(codec)).text == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Die Größe der Tür", "cp1252"),
        ("caf\xe9", "cp1252"),
        ("L'été dernier, nous avons visité la forêt.", "cp1252"),
        ("Zażółć gęślą jaźń. Wszystkie źródła są dostępne w języku polskim.", "cp1250"),
        ("这是一个中文文本，用于测试编码检测。今天天气很好。", "gb18030"),
    ],
)
def test_other_languages_are_read_where_it_is_clear(text: str, codec: str, tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.md", text.encode(codec)).text == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"abc\xff\xfe", "not UTF-8: .* at byte 3, .*Save it as UTF-8", id="no-encoding"),
        pytest.param(b"\xff\xfea\x00\x00\xd8", "not UTF-16", id="half-a-character"),
        pytest.param(b"abc\x00def", "NUL bytes", id="nul"),
        pytest.param(b"abc\x00\xff", "NUL bytes", id="binary"),
        pytest.param(b" \n", "is empty", id="blank"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"x" * (MAX_DOCUMENT_CHARS + 1), "more than 2,000,000 characters", id="long"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.csv", "a.html"])
def test_what_is_no_text_is_refused_with_the_reason(content: bytes, reason: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=f"^'{name}' .*{reason}"):
        read_one(tmp_path, name, content)


def test_a_text_of_many_bytes_is_not_even_loaded(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    with path.open("wb") as file:
        file.write(b"x")
        file.truncate(encoding.MAX_BYTES + 1)
    with pytest.raises(Unreadable, match="larger than 32 MiB"):
        encoding.read_text(path)


def test_control_characters_are_left_out_and_lines_end_alike(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.txt", "a\x07\r\nb\x0cc\rd").text == "a\nb\nc\nd"


def test_a_comment_in_code_is_no_title(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.md", "```sh\n# comment\n```\n# Title\n").title == "Title"


@pytest.mark.parametrize("char", list(",;\t|"))
def test_a_row_of_a_table_names_its_columns(char: str, tmp_path: Path) -> None:
    rows = [["name", "город"], ["Anna", '"Paris\n12"'], ["", "London"], ["", ""], ["Bob", "", "more"]]
    text = read_one(tmp_path, "a.csv", "\n".join(char.join(row) for row in rows)).text
    assert text == "name: Anna; город: Paris 12\n\nгород: London\n\nname: Bob; more"


def test_a_comma_in_a_text_divides_no_cells(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.csv", "q;a\nwho, what;x\ny;z, z, z\n").text == "q: who, what; a: x\n\nq: y; a: z, z, z"


def test_a_table_of_one_row_or_one_column_is_read(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.csv", "a,b\n").text == "a; b"
    assert read_one(tmp_path, "a.csv", "name\nAnna\nBob").text == "name: Anna\n\nname: Bob"


def test_a_table_grows_no_longer_than_a_document_may_be(tmp_path: Path) -> None:
    content = f"{'h' * 1000}\n" + "x\n" * (MAX_DOCUMENT_CHARS // 1000)
    with pytest.raises(InvalidRequest, match="more than 2,000,000 characters"):
        read_one(tmp_path, "a.csv", content)


def test_a_line_says_more_than_its_file(tmp_path: Path) -> None:
    lines = [{"text": "a", "id": "1", "language": "ru", "user_id": "own", "metadata": {"x": 1}}, {"text": "b"}]
    content = "\n".join(json.dumps(line) for line in lines)
    given = {"language": "en", "user_id": "given", "metadata": {"x": 0, "y": 2}}
    first, second = read_all(tmp_path, "a.jsonl", content, **given)
    assert (first.id, first.language, first.user_id, first.metadata) == ("1", "ru", "own", {"x": 1, "y": 2})
    assert (second.id, second.language, second.user_id, second.metadata) == (None, "en", "given", {"x": 0, "y": 2})


def test_what_is_given_of_the_file_is_said_of_its_document(tmp_path: Path) -> None:
    document = read_one(tmp_path, "d/a.md", "x", language="ru", metadata={"k": 1}, user_id="me")
    assert (document.id, document.uri, document.title) == ("d/a.md", "d/a.md", "a")
    assert (document.language, document.metadata, document.user_id) == ("ru", {"k": 1}, "me")


def test_lines_in_utf_16_are_read(tmp_path: Path) -> None:
    assert read_one(tmp_path, "a.jsonl", '{"text": "привет"}\n'.encode("utf-16")).text == "привет"

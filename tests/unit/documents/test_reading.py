"""From files to documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from answerbox.contracts import MAX_DOCUMENT_CHARS, DocumentIn
from answerbox.documents.reading import find, read
from answerbox.errors import InvalidRequest
from tests.file_kit import written


def one(path: Path, root: Path | None = None) -> DocumentIn:
    [document] = read(path, root)
    return document


def test_markdown_is_titled_by_its_first_heading(tmp_path: Path) -> None:
    document = one(written(tmp_path / "guide.md", "Intro\n# The guide \n## Part\n# Other\n"))
    assert (document.id, document.uri, document.title) == ("guide.md", "guide.md", "The guide")
    assert document.text == "Intro\n# The guide \n## Part\n# Other\n"


@pytest.mark.parametrize("text", ["no heading", "#no-blank\n", "# \nx"], ids=repr)
def test_a_file_without_a_heading_is_titled_by_its_name(text: str, tmp_path: Path) -> None:
    assert one(written(tmp_path / "notes.txt", text)).title == "notes"


def test_an_id_is_the_name_below_the_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "docs" / "deep" / "a.md", "x")
    assert one(path, tmp_path).id == "docs/deep/a.md"
    assert one(path, tmp_path / "docs").id == "deep/a.md"


@pytest.mark.parametrize("name", ["мой файл.md", "a&b?.txt", "ü#.md", "100%.md", "x" * 200 + ".md"])
def test_any_file_name_makes_a_document(name: str, tmp_path: Path) -> None:
    document = one(written(tmp_path / name, "text"), tmp_path)
    assert document.id
    assert document.uri == name


def test_two_names_make_two_ids(tmp_path: Path) -> None:
    files = [written(tmp_path / name, "x") for name in ("a b.md", "a-b.md", "a_b.md", "a?b.md")]
    assert len({one(file).id for file in files}) == len(files)


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    document = one(written(tmp_path / "a.md", b"\xef\xbb\xbf# Title\nBody\n"))
    assert (document.title, document.text) == ("Title", "# Title\nBody\n")


@pytest.mark.parametrize(
    ("suffix", "reason"), [("md", "is not UTF-8: .* at byte 3"), ("jsonl", "is not UTF-8: .* after line 0")]
)
def test_a_file_that_is_no_text_is_refused_with_the_place(suffix: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"a.{suffix}", b"abc\xff\xfe")
    with pytest.raises(InvalidRequest, match=rf"a\.\w+' {reason}"):
        list(read(path))


@pytest.mark.parametrize("text", ["", " \n\t\n", "\ufeff"], ids=repr)
def test_a_blank_file_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is empty"):
        list(read(written(tmp_path / "a.txt", text)))


def test_a_file_that_is_too_long_is_refused_with_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "long.txt", "x" * (MAX_DOCUMENT_CHARS + 1))
    with pytest.raises(InvalidRequest, match=r"long\.txt"):
        list(read(path))


def test_a_file_with_a_control_character_in_its_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a\nb.md", "text")
    with pytest.raises(InvalidRequest, match=r"b\.md"):
        list(read(path))


def test_json_lines_are_documents(tmp_path: Path) -> None:
    lines = [{"id": "1", "text": "раз", "metadata": {"n": 1}}, {"text": "two", "title": "Two"}]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines) + "\r\n"
    found = list(read(written(tmp_path / "a.jsonl", text)))
    assert found == [DocumentIn.model_validate(line) for line in lines]


def test_a_line_separator_inside_a_json_string_does_not_end_the_line(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "one\u2028two\x85three"}\n')
    assert one(path).text == "one\u2028two\x85three"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        pytest.param("{", "line", id="no-json"),
        pytest.param("[]", "line", id="no-object"),
        pytest.param('{"title": "x"}', "text", id="no-text"),
        pytest.param('{"text": "x", "author": "y"}', "author", id="unknown-key"),
        pytest.param('{"text": "x", "metadata": {"a": [1]}}', "metadata", id="nested-metadata"),
    ],
)
def test_a_bad_line_is_told_by_file_and_number(line: str, field: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", '{"text": "good"}\n\n' + line + "\n")
    documents = read(path)
    assert next(documents).text == "good"
    with pytest.raises(InvalidRequest, match=rf"a\.jsonl', line 3: {field}"):
        next(documents)


def test_files_are_found_below_folders_in_order(tmp_path: Path) -> None:
    names = ["b.md", "a.txt", "sub/c.jsonl", "sub/picture.png", ".hidden", "readme"]
    for name in names:
        written(tmp_path / name, "x")
    (tmp_path / "folder.md").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find([tmp_path])]
    assert found == ["a.txt", "b.md", "sub/c.jsonl"]


def test_files_come_in_the_order_that_they_were_named(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, "x") for name in ("z.md", "a.md")]
    assert find(paths) == paths


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.md", ["a.md", "docs/b.md", "docs/deep/c.md"]),
        ("b.*", ["docs/b.md"]),
        ("docs/**/*.md", ["docs/b.md", "docs/deep/c.md"]),
        ("**/*.PDF", ["docs/d.PDF"]),
        ("docs/*.txt", []),
        (None, ["a.md", "docs/b.md", "docs/d.PDF", "docs/deep/c.md", "e.txt"]),
    ],
)
def test_files_are_chosen_by_a_pattern(glob: str | None, found: list[str], tmp_path: Path) -> None:
    for name in ("a.md", "docs/b.md", "docs/deep/c.md", "docs/d.PDF", "e.txt"):
        written(tmp_path / name, "x")
    assert [path.relative_to(tmp_path).as_posix() for path in find([tmp_path], glob)] == found


def test_a_pattern_holds_for_files_that_were_named(tmp_path: Path) -> None:
    paths = [written(tmp_path / name, "x") for name in ("z.md", "a.txt")]
    assert find(paths, "*.txt") == paths[1:]


@pytest.mark.parametrize("name", ["missing.md", "picture.png"])
def test_a_path_that_is_no_document_is_refused_by_name(name: str, tmp_path: Path) -> None:
    written(tmp_path / "picture.png", "x")
    with pytest.raises(InvalidRequest, match=name):
        find([tmp_path / name])

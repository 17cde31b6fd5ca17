"""A folder with questions: what is found in it, and how wrong ones are told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from answerbox.errors import InvalidRequest
from answerbox.evaluation.dataset import load

PASSAGE = {"id": "zebra", "title": "Zebras", "language": "en", "text": "The zebra wears stripes."}
QUESTION = {"id": "q1", "question": "What does it wear?", "document_id": "zebra", "answers": ["stripes"]}


def write(folder: Path, name: str, *rows: Any) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "documents.en.jsonl", PASSAGE)
    write(tmp_path, "questions.en.jsonl", QUESTION)
    write(tmp_path, "unanswerable.en.jsonl", {"id": "u1", "question": "Who is king?"})
    return tmp_path


def test_languages_are_found_by_the_names_of_the_files(folder: Path) -> None:
    write(folder, "documents.ru.jsonl", PASSAGE)
    write(folder, "questions.ru.jsonl", QUESTION)
    (folder / "README.md").write_text("about")
    dataset = load(folder)
    assert [language.code for language in dataset.languages] == ["en", "ru"]
    english, russian = dataset.languages
    assert (len(english.passages), len(english.questions), len(english.unanswerable)) == (1, 1, 1)
    assert russian.unanswerable == []
    assert [language.code for language in load(folder, ["ru"]).languages] == ["ru"]


def test_documents_get_ids_and_metadata_of_their_own(folder: Path) -> None:
    [language] = load(folder).languages
    [document] = language.documents()
    assert document.id == "eval/en/zebra" == language.key("zebra")
    assert document.metadata == {"eval_language": "en"} == language.condition
    assert (document.title, document.language, document.text) == ("Zebras", "en", PASSAGE["text"])


def test_a_byte_order_mark_and_blank_lines_are_passed_over(folder: Path) -> None:
    (folder / "questions.en.jsonl").write_text("\ufeff" + json.dumps(QUESTION) + "\n\n", encoding="utf-8")
    assert len(load(folder).languages[0].questions) == 1


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("questions.en.jsonl", [QUESTION, "{"], "questions.en.jsonl', line 2: "),
        ("questions.en.jsonl", [QUESTION | {"document_id": "okapi"}], "line 1: there is no document 'okapi'"),
        ("questions.en.jsonl", [QUESTION, QUESTION], "line 2: the id 'q1' is that of line 1 too"),
        ("questions.en.jsonl", [QUESTION | {"answers": []}], "line 1: answers: "),
        ("questions.en.jsonl", [QUESTION | {"question": " "}], "line 1: question: "),
        ("documents.en.jsonl", [{"id": "zebra"}], "documents.en.jsonl', line 1: text: "),
        ("unanswerable.en.jsonl", [{"id": "u"}], "unanswerable.en.jsonl', line 1: question: "),
        ("documents.en.jsonl", [""], "documents.en.jsonl' is empty"),
    ],
)
def test_a_wrong_line_is_named(folder: Path, name: str, rows: list[Any], expected: str) -> None:
    write(folder, name, *rows)
    with pytest.raises(InvalidRequest) as caught:
        load(folder)
    assert expected in str(caught.value)


def test_a_file_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "questions.en.jsonl").write_bytes(b'{"id": "caf\xe9"}')
    with pytest.raises(InvalidRequest, match=r"questions\.en\.jsonl' is not UTF-8"):
        load(folder)


def test_what_is_missing_is_named(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(InvalidRequest, match="There is no folder"):
        load(folder / "nothing")
    with pytest.raises(InvalidRequest, match=r"no file documents\.LANG\.jsonl"):
        load(tmp_path_factory.mktemp("empty"))
    with pytest.raises(InvalidRequest, match="no documents in de; it has en"):
        load(folder, ["de"])
    (folder / "questions.en.jsonl").unlink()
    with pytest.raises(InvalidRequest, match=r"There is no file .*questions\.en\.jsonl"):
        load(folder)

"""A folder with documents and questions about them, in one or several languages.

- `documents.LANG.jsonl`: `id, text`, and a `title` if there is one
- `questions.LANG.jsonl`: `id, question, document_id, answers[]`: the document that answers it, and accepted answers
- `unanswerable.LANG.jsonl`, if there is one: `id, question`: the right reply is that the documents do not tell
- `attacks.LANG.jsonl`, if there is one: `id, kind, question_id, text, forbidden[]`, and a `title` if there is one:
  documents that try to take over the answer to a question, and what then stands in it

`POISONED` is such a folder, with attacks of every kind that we know of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from answerbox.contracts import MAX_QUESTION_CHARS, DocumentIn
from answerbox.errors import InvalidRequest

LANGUAGE_KEY = "eval_language"
"""The metadata by which questions see the documents of their language and no others."""
ATTACK_KEY = "eval_attack"
"""The metadata by which one question sees one poisoned document."""
ATTACKER = "answerbox-eval"
"""Whose the poisoned documents are, so that a service that keeps owners apart shows them to nobody else."""
POISONED = Path(__file__).parent / "poisoned"

_NAME = re.compile(r"documents\.([a-z]{2,3}(?:-[A-Za-z0-9]{2,8})?)\.jsonl")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
QuestionText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_QUESTION_CHARS)]


class Passage(BaseModel):
    id: Id
    text: Annotated[str, StringConstraints(min_length=1)]
    title: str | None = None


class Unanswerable(BaseModel):
    id: Id
    question: QuestionText


class Question(BaseModel):
    id: Id
    question: QuestionText
    document_id: Id
    answers: Annotated[list[Text], Field(min_length=1)]


class Attack(BaseModel):
    id: Id
    kind: Text
    question_id: Id
    text: Annotated[str, StringConstraints(min_length=1)]
    title: str | None = None
    forbidden: Annotated[list[Text], Field(min_length=1)]


@dataclass(frozen=True)
class Language:
    code: str
    passages: list[Passage]
    questions: list[Question]
    unanswerable: list[Unanswerable]
    attacks: list[Attack] = field(default_factory=list)

    @property
    def condition(self) -> dict[str, Any]:
        """The filter of every question in this language."""
        return {LANGUAGE_KEY: self.code}

    def key(self, document_id: str) -> str:
        """The id under which the service has a document of this language."""
        return f"eval/{self.code}/{document_id}"

    def attack_key(self, attack: Attack) -> str:
        return self.key(f"attack/{attack.id}")

    def attack_condition(self, attack: Attack) -> dict[str, Any]:
        """The filter of a question that sees one poisoned document beside the others."""
        return {"$or": [self.condition, {ATTACK_KEY: self.attack_key(attack)}]}

    def documents(self) -> list[DocumentIn]:
        """What the service is to index."""
        return [*map(self._document, self.passages), *map(self._poisoned, self.attacks)]

    def _document(self, passage: Passage) -> DocumentIn:
        return DocumentIn(
            id=self.key(passage.id),
            title=passage.title,
            language=self.code,
            text=passage.text,
            metadata={LANGUAGE_KEY: self.code},
        )

    def _poisoned(self, attack: Attack) -> DocumentIn:
        key = self.attack_key(attack)
        return DocumentIn(
            id=key,
            title=attack.title,
            language=self.code,
            text=attack.text,
            metadata={ATTACK_KEY: key},
            user_id=ATTACKER,
        )


@dataclass(frozen=True)
class Dataset:
    name: str
    languages: list[Language]


class _Named(Protocol):
    id: str


Row = TypeVar("Row", bound=BaseModel)


def load(folder: Path, languages: Sequence[str] | None = None) -> Dataset:
    """The data set in `folder`; of `languages` only, if they are given.

    Raises:
        InvalidRequest: no such folder, language or file, or a line that is wrong; the message names file and line.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"There is no folder {str(folder)!r}.")
    found = sorted(match[1] for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))
    if not found:
        raise InvalidRequest(f"{str(folder)!r} has no file documents.LANG.jsonl, such as documents.en.jsonl.")
    unknown = [code for code in languages or () if code not in found]
    if unknown:
        raise InvalidRequest(f"{str(folder)!r} has no documents in {', '.join(unknown)}; it has {', '.join(found)}.")
    wanted = list(dict.fromkeys(languages or found))
    return Dataset(folder.resolve().name, [_language(folder, code) for code in wanted])


def _language(folder: Path, code: str) -> Language:
    passages = _rows(folder / f"documents.{code}.jsonl", Passage)
    questions = _rows(folder / f"questions.{code}.jsonl", Question)
    documents = [(number, question.document_id) for number, question in questions]
    _check_known(documents, passages, folder / f"questions.{code}.jsonl", "document")
    unanswerable = _rows_if_any(folder / f"unanswerable.{code}.jsonl", Unanswerable)
    attacks = _rows_if_any(folder / f"attacks.{code}.jsonl", Attack)
    attacked = [(number, attack.question_id) for number, attack in attacks]
    _check_known(attacked, questions, folder / f"attacks.{code}.jsonl", "question")
    return Language(code, _plain(passages), _plain(questions), _plain(unanswerable), _plain(attacks))


def _check_known(
    named: Iterable[tuple[int, str]], there: Iterable[tuple[int, Passage | Question]], path: Path, what: str
) -> None:
    """Every id that the lines of `path` name must be there."""
    known = {row.id for _, row in there}
    for number, id_ in named:
        if id_ not in known:
            raise InvalidRequest(f"{_place(path, number)}: there is no {what} {id_!r} in this language.")


def _rows_if_any(path: Path, model: type[Row]) -> list[tuple[int, Row]]:
    return _rows(path, model) if path.exists() else []


def _plain(rows: Iterable[tuple[int, Row]]) -> list[Row]:
    return [row for _, row in rows]


def _rows(path: Path, model: type[Row]) -> list[tuple[int, Row]]:
    """Each line that is not blank, with its number."""
    rows: list[tuple[int, Row]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        row = _row(path, number, line, model)
        first = seen.setdefault(_id(row), number)
        if first != number:
            raise InvalidRequest(f"{_place(path, number)}: the id {_id(row)!r} is that of line {first} too.")
        rows.append((number, row))
    if not rows:
        raise InvalidRequest(f"{str(path)!r} is empty.")
    return rows


def _row(path: Path, number: int, line: str, model: type[Row]) -> Row:
    try:
        return model.model_validate_json(line)
    except ValidationError as exc:
        fault = exc.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise InvalidRequest(f"{_place(path, number)}: {field + ': ' if field else ''}{fault['msg']}.") from None


def _id(row: Any) -> str:
    named: _Named = row
    return named.id


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidRequest(f"There is no file {str(path)!r}.") from None
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"{str(path)!r} is not UTF-8: {exc.reason} at byte {exc.start}.") from None


def _place(path: Path, number: int) -> str:
    return f"{str(path)!r}, line {number}"

"""What a run found out, question by question, as JSON-able data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from answerbox.contracts import GroundingMode
from answerbox.errors import InvalidRequest


@dataclass(frozen=True)
class About:
    """Of what the figures are."""

    made: str
    dataset: str
    version: str = ""
    models: dict[str, str] = field(default_factory=dict)
    machine: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SearchRow:
    """One question searched. `rank` is the place of the right document, 0 where it was not found."""

    language: str
    id: str
    question: str
    wanted: str
    found: list[str] = field(default_factory=list)
    rank: int = 0
    latency_ms: float | None = None
    degraded: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class Shown:
    """A source as the report shows it."""

    document_id: str
    title: str | None
    score: float
    text: str


@dataclass(frozen=True)
class Quotes:
    """Citations that say they are word for word, and those of them that are not."""

    claimed: int = 0
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AnswerRow:
    """One question answered. `wanted` is None where the documents do not tell; then a refusal is right.

    `asked_at` is in seconds since 1970; `trace_id` is the answer's in the service's traces, where it told one.
    """

    language: str
    id: str
    question: str
    wanted: str | None
    accepted: list[str] = field(default_factory=list)
    answer: str = ""
    mode: GroundingMode | None = None
    refused: bool = False
    contains: bool = False
    exact: bool = False
    f1: float = 0.0
    right_source: bool = False
    failed_checks: list[str] = field(default_factory=list)
    quotes: Quotes = field(default_factory=Quotes)
    sources: list[Shown] = field(default_factory=list)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: float | None = None
    degraded: list[str] = field(default_factory=list)
    error: str | None = None
    asked_at: float | None = None
    trace_id: str | None = None

    @property
    def right(self) -> bool:
        if self.error:
            return False
        return self.refused if self.wanted is None else self.contains


Harm = Literal["forbidden text", "link to outside", "mark of no source", "invisible characters"]


@dataclass(frozen=True)
class Reply:
    """One answer to a question that somebody tries to have answered otherwise. `exposed`: the poisoned document was
    among what the answer was made from."""

    answer: str = ""
    mode: GroundingMode | None = None
    right: bool = False
    exposed: bool = False
    harms: list[Harm] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class AttackRow:
    """A question asked three times: from true documents, from these and a poisoned one, and of the model alone with
    both texts as `context`."""

    language: str
    id: str
    kind: str
    question: str
    accepted: list[str]
    text: str
    clean: Reply
    poisoned: Reply
    alone: Reply

    @property
    def error(self) -> str | None:
        return self.clean.error or self.poisoned.error or self.alone.error


@dataclass(frozen=True)
class Result:
    about: About
    search: list[SearchRow]
    answers: list[AnswerRow]
    attacks: list[AttackRow] = field(default_factory=list)

    @property
    def languages(self) -> list[str]:
        return list(dict.fromkeys(row.language for row in self._rows))

    @property
    def failed(self) -> list[SearchRow | AnswerRow | AttackRow]:
        return [row for row in self._rows if row.error]

    @property
    def _rows(self) -> list[SearchRow | AnswerRow | AttackRow]:
        return [*self.search, *self.answers, *self.attacks]


_RESULT = TypeAdapter(Result)


def write(result: Result, path: Path) -> None:
    path.write_text(dumped(result), encoding="utf-8")


def dumped(result: Result) -> str:
    """One row a line, so that two files can be compared."""
    parts = [
        f'"about": {_line(result.about)}',
        _list("search", [_line(row) for row in result.search]),
        _list("answers", [_line(row) for row in result.answers]),
        _list("attacks", [_line(row) for row in result.attacks]),
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read(path: Path) -> Result:
    """Raises InvalidRequest: there is no such file, or it is not what `write` writes."""
    try:
        return _RESULT.validate_json(path.read_bytes())
    except OSError as exc:
        raise InvalidRequest(f"{str(path)!r} cannot be read: {exc.strerror}.") from None
    except ValidationError as exc:
        fault = exc.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "file"
        raise InvalidRequest(
            f"{str(path)!r} is no result of `answerbox eval --json`: {place}: {fault['msg']}."
        ) from None


def without_texts(result: Result) -> Result:
    """The same without the texts of sources, which are most of its size."""
    return replace(result, answers=[_without_texts(row) for row in result.answers])


def _without_texts(row: AnswerRow) -> AnswerRow:
    return replace(row, sources=[replace(source, text="") for source in row.sources])


def _list(name: str, lines: list[str]) -> str:
    return f'"{name}": [\n' + ",\n".join(lines) + "\n]"


def _line(row: Any) -> str:
    return json.dumps(asdict(row), ensure_ascii=False)

"""Fixtures of what `answerbox eval` needs: a service, and a folder with a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.unit.evaluation.kit import tiny
from tests.unit.evaluation.stub import Served, serving


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    to = tmp_path / "tiny"
    to.mkdir()
    for language in tiny().languages:
        parts: dict[str, Sequence[BaseModel]] = {
            "documents": language.passages,
            "questions": language.questions,
            "unanswerable": language.unanswerable,
        }
        for name, rows in parts.items():
            if rows:
                text = "".join(row.model_dump_json() + "\n" for row in rows)
                (to / f"{name}.{language.code}.jsonl").write_text(text, encoding="utf-8")
    return to

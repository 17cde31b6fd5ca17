"""`docs/errors.md`: committed, whole, and true to the table of statuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from answerbox import errors
from answerbox.contracts import Problem
from answerbox.errors import AnswerboxError, SetupError, tree
from answerbox.service.error_pages import ADVICE, FIELDS, page, published
from answerbox.service.problems import STATUS, problem, response

COMMITTED = Path(__file__).parents[3] / "docs" / "errors.md"
EVERY = [cls for cls in tree() if cls.__module__ == errors.__name__]
MET = [cls for cls in EVERY if cls is not AnswerboxError and not issubclass(cls, SetupError)]
"""What can leave over HTTP under a code of its own."""
EACH = pytest.mark.parametrize("cls", MET, ids=lambda cls: cls.__name__)


def section(cls: type[AnswerboxError]) -> str:
    _, _, rest = page().partition(f"\n## {cls.code}\n")
    return rest.partition("\n## ")[0]


def test_the_committed_page_is_the_one_of_the_code() -> None:
    fresh = "run `.venv/bin/python -m answerbox.service.error_pages > docs/errors.md`"
    assert COMMITTED.read_text("utf-8") == page(), fresh


def test_every_class_that_can_be_met_has_advice_and_no_other_has() -> None:
    assert set(ADVICE) == set(MET), "words for it belong into ADVICE of service/error_pages.py"
    assert set(published()) == set(MET)


def test_every_code_has_one_section_and_the_sections_are_in_the_order_of_their_status() -> None:
    codes = re.findall(r"^## (.+)$", page(), re.MULTILINE)
    assert sorted(codes) == sorted(cls.code for cls in MET)
    statuses = {cls.code: STATUS[cls] for cls in MET}
    assert [statuses[code] for code in codes] == sorted(statuses.values())


@EACH
def test_a_section_has_the_status_of_the_table_and_its_phrase(cls: type[AnswerboxError]) -> None:
    assert f"**{STATUS[cls]} {problem(cls(''), '', '')['title']}**" in section(cls)


@EACH
def test_a_section_says_what_happens_on_a_second_try(cls: type[AnswerboxError]) -> None:
    first = section(cls).strip().splitlines()[0]
    assert ("not retryable" in first) == (not cls.retryable)
    assert ("Retry-After" in first) == ("retry-after" in response(cls(""), "request-1", "/").headers)


@EACH
def test_a_section_names_the_class_that_run_model_raises(cls: type[AnswerboxError]) -> None:
    assert f"In Python: `{cls.__name__}`." in section(cls)


@EACH
def test_a_section_says_when_it_happens_and_what_to_do(cls: type[AnswerboxError]) -> None:
    for text, heading in ((ADVICE[cls].when, "**When.** "), (ADVICE[cls].do, "**What to do.** ")):
        assert text.endswith(".")
        assert heading + text in " ".join(section(cls).split())


def test_every_link_leads_to_a_section() -> None:
    targets = re.findall(r"\]\(#(\w+)\)", page())
    assert targets == [cls.code for cls in published()]


def test_every_field_of_a_problem_is_explained() -> None:
    assert list(FIELDS) == list(Problem.model_fields)
    assert all(f"| `{name}` | {text} |" in page() for name, text in FIELDS.items())


def test_the_example_is_a_problem_with_a_fault() -> None:
    found = re.search(r"```json\n(.+?)```", page(), re.DOTALL)
    assert found
    example = Problem.model_validate(json.loads(found[1]))
    assert (example.code, example.status) == ("invalid_request", STATUS[errors.InvalidRequest])
    assert example.errors
    assert example.errors[0]["field"] == "options.temperature"


def test_no_code_is_broken_by_the_end_of_a_line() -> None:
    prose = page().replace("```", "")
    assert [line for line in prose.splitlines() if line.count("`") % 2] == []
    assert "\xa0" not in prose


def test_no_line_is_too_long() -> None:
    assert [line for line in page().splitlines() if len(line) > 120] == []

"""The words of the page: both languages have the same, all that is used is there, and all that is there is used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

import answerbox
from answerbox.contracts import AgentEnd, CallStatus, Check, FinishReason, JobStatus
from answerbox.service.problems import STATUS

UI = Path(answerbox.__file__).parent / "ui"
ENTRY = re.compile(r'^  (\w+): "(.*)",$', re.MULTILINE)
USED = re.compile(r'data-t(?:-[a-z-]+)?="(\w+)"|\b(?:say|label|t)\([^"`\n]*?"(\w+)"|\bt: \[?"(\w+)"')
"""In attributes of the page, and in calls that give an element its words."""
MADE = re.compile(r"`(\w+_)\$\{")
"""Keys that begin so are made of a value."""
VALUES = {
    "call_": {*get_args(CallStatus), "running"},
    "check_": set(get_args(Check)),
    "ended_": set(get_args(AgentEnd)) - {"answer"},
    "finish_": set(get_args(FinishReason)) - {"stop"},
    "job_": set(get_args(JobStatus)),
    "tool_": {"search_documents", "calculator", "current_time"},
    "welcome_": {"llm", "rag", "agent"},
    "example_": {f"{mode}_{number}" for mode in ("llm", "rag", "agent") for number in (1, 2, 3)},
}
INPUT_DRIVEN = ("degraded_", "problem_")
"""Keys of values that may be unknown: there are words for those, too."""


def words(language: str) -> dict[str, str]:
    lines = (UI / f"{language}.js").read_text().splitlines()
    found = dict(ENTRY.findall("\n".join(lines)))
    assert len(found) == len([line for line in lines if line.startswith("  ")]), "each line is an entry of its own"
    return found


def sources() -> str:
    files = [path for path in UI.iterdir() if path.suffix in (".js", ".html") and path.stem not in ("en", "ru")]
    return "\n".join(path.read_text() for path in files)


def test_both_languages_have_the_same_keys_and_parameters() -> None:
    en, ru = words("en"), words("ru")
    assert list(en) == list(ru)
    parameters = re.compile(r"\{\w+\}")
    assert {key: set(parameters.findall(text)) for key, text in en.items()} == {
        key: set(parameters.findall(text)) for key, text in ru.items()
    }


def test_russian_words_are_russian() -> None:
    same = {key for key, text in words("ru").items() if not re.search(r"[а-яё]", text, re.IGNORECASE)}
    assert same == {"other_language", "other_language_code", "token_counts", "relevance"}


def test_every_key_that_is_used_exists() -> None:
    used = {key for found in USED.findall(sources()) for key in found if key}
    assert len(used) > 50, "the pattern finds them"
    assert used <= set(words("en"))


def test_every_key_that_exists_is_used() -> None:
    text = sources()
    made = tuple({*MADE.findall(text), *VALUES, *INPUT_DRIVEN})
    unused = [key for key in words("en") if f'"{key}"' not in text and not key.startswith(made)]
    assert unused == []


@pytest.mark.parametrize("prefix", VALUES)
def test_there_are_words_for_every_value_of_the_contract_and_for_no_other(prefix: str) -> None:
    have = {key.removeprefix(prefix) for key in words("en") if key.startswith(prefix)}
    assert have == VALUES[prefix]
    assert prefix in MADE.findall(sources())


def test_every_status_of_a_problem_has_words() -> None:
    known = words("en")
    for status in set(STATUS.values()):
        assert f"problem_{status}" in known or f"problem_{status // 100}00" in known

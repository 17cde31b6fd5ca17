"""The tree of failures: complete in its docstring, and whole after a trip through pickle or JSON."""

from __future__ import annotations

import json
import pickle
import re

import pytest

from answerbox import errors
from answerbox.errors import AnswerboxError, InternalError, PromptTooLong, from_wire, tree

EVERY = [cls for cls in tree() if cls.__module__ == errors.__name__]
EACH = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)


def example(cls: type[AnswerboxError]) -> AnswerboxError:
    return cls(
        "Слишком длинно.",
        hint="Shorten it.",
        errors=[{"field": "question", "message": "too long"}],
        extra={"limit": 10, "allow": ["GET"]},
    )


def state(error: AnswerboxError) -> tuple[object, ...]:
    return type(error), str(error), error.message, error.hint, error.errors, error.extra, error.retryable


@EACH
def test_an_error_survives_pickle(cls: type[AnswerboxError]) -> None:
    assert state(pickle.loads(pickle.dumps(example(cls)))) == state(example(cls))


@EACH
def test_an_error_survives_the_wire(cls: type[AnswerboxError]) -> None:
    wire = json.loads(json.dumps(example(cls).to_wire()))
    assert state(from_wire(wire)) == state(example(cls))


@EACH
def test_an_error_without_details_survives_the_wire(cls: type[AnswerboxError]) -> None:
    assert state(from_wire(cls("No.").to_wire())) == state(cls("No."))


@EACH
def test_a_code_is_snake_case(cls: type[AnswerboxError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)


def test_every_code_is_of_one_class() -> None:
    codes = [cls.code for cls in EVERY]
    assert sorted(set(codes)) == sorted(codes)


def test_the_docstring_draws_every_class_below_its_parent() -> None:
    drawn = re.findall(r"^((?:│   |    )*(?:[├└]── )?)([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)
    path: list[str] = []
    parents = {}
    for lead, name in drawn:
        if not name.endswith("Error") and not lead:
            continue  # a sentence of the docstring
        depth = len(lead) // 4
        path = [*path[:depth], name]
        parents[name] = path[-2] if depth else "Exception"
    assert parents == {cls.__name__: cls.__bases__[0].__name__ for cls in EVERY}


def test_an_unknown_code_becomes_an_internal_error() -> None:
    error = from_wire({"code": "from_the_future", "message": "what?"})
    assert type(error) is InternalError
    assert error.message == "what?"


def test_an_empty_wire_becomes_an_internal_error() -> None:
    assert type(from_wire({})) is InternalError


def test_only_failures_that_may_pass_are_retryable() -> None:
    retryable = {cls.code for cls in EVERY if cls.retryable}
    assert retryable == {
        "unavailable",
        "not_ready",
        "rate_limited",
        "body_timeout",
        "overloaded",
        "generator_unavailable",
        "embedder_unavailable",
        "reranker_unavailable",
        "index_unavailable",
        "storage_full",
        "bad_upstream",
        "deadline_exceeded",
    }


def test_two_errors_do_not_share_their_details() -> None:
    one, other = PromptTooLong("one"), PromptTooLong("other")
    one.errors.append({"field": "question", "message": "too long"})
    one.extra["limit"] = 1
    assert (other.errors, other.extra) == ([], {})

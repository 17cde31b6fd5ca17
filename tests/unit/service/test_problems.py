"""From a failure to its HTTP answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse

from answerbox import errors
from answerbox.contracts import Problem
from answerbox.errors import AnswerboxError, InvalidRequest, MethodNotAllowed, Unavailable, tree
from answerbox.service.problems import MEDIA_TYPE, STATUS, from_framework, problem, response

EVERY = [cls for cls in tree() if cls.__module__ == errors.__name__]
EACH = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
SECRET = "hunter2"


def example(cls: type[AnswerboxError]) -> AnswerboxError:
    return cls(SECRET, hint=SECRET, errors=[{"field": SECRET, "message": SECRET}], extra={"secret": SECRET})


def body(answer: JSONResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(answer.body))
    return found


def test_every_error_has_a_status_and_no_other_has() -> None:
    assert set(STATUS) == set(EVERY)


def test_a_child_without_a_reason_of_its_own_has_the_class_of_status_of_its_parent() -> None:
    for cls in EVERY[1:]:
        parent = cls.__bases__[0]
        if parent is not AnswerboxError:
            assert STATUS[cls] // 100 == STATUS[parent] // 100, cls


@EACH
def test_a_problem_has_all_its_members_and_keeps_the_contract(cls: type[AnswerboxError]) -> None:
    found = problem(example(cls), "request-1", "/llm_query")
    assert Problem.model_validate(found).model_dump(exclude_none=True) == found
    assert found["status"] == STATUS[cls]
    assert (found["request_id"], found["instance"]) == ("request-1", "/llm_query")
    assert found["retryable"] is cls.retryable
    assert found["title"]


@EACH
def test_a_500_leaks_nothing_and_the_others_say_what_is_wrong(cls: type[AnswerboxError]) -> None:
    answer = response(example(cls), "request-1", "/llm_query")
    found = body(answer)
    if STATUS[cls] == 500:
        assert SECRET not in bytes(answer.body).decode() + str(answer.headers)
        assert (found["code"], found["type"]) == ("internal", "urn:answerbox:problem:internal")
        assert "request_id" in found["detail"]
    else:
        assert (found["code"], found["type"]) == (cls.code, f"urn:answerbox:problem:{cls.code}")
        assert (found["detail"], found["hint"]) == (SECRET, SECRET)
        assert found["errors"] == [{"field": SECRET, "message": SECRET}]


@EACH
def test_retry_after_stands_on_every_429_and_503_and_on_nothing_else(cls: type[AnswerboxError]) -> None:
    answer = response(example(cls), "request-1", "/")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert ("retry-after" in answer.headers) == (STATUS[cls] in (429, 503))
    assert ("www-authenticate" in answer.headers) == (STATUS[cls] == 401)
    assert issubclass(cls, Unavailable) == (STATUS[cls] in (503, 507))


def test_a_405_says_what_is_allowed() -> None:
    answer = response(MethodNotAllowed("no", extra={"allow": ["GET", "POST"]}), "request-1", "/documents")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


def test_empty_members_are_left_out() -> None:
    assert not {"hint", "errors"} & set(problem(InvalidRequest("no"), "request-1", "/"))


def framework(detail: Any) -> AnswerboxError:
    return from_framework(400, json.dumps({"error": "validation", "detail": detail}).encode())


def test_a_400_of_the_framework_with_faults_is_an_invalid_request() -> None:
    error = framework([{"type": "missing", "loc": ["question"], "msg": "Field required", "input": SECRET}])
    assert type(error) is InvalidRequest
    assert error.errors == [{"field": "question", "message": "Field required"}]
    assert SECRET not in str(error.to_wire())


@pytest.mark.parametrize(
    "content",
    [b"", b"no json", b"{}", b"[]", b'{"detail": 1}', b'{"detail": [1]}', b'{"detail": [{}]}', b"\xff"],
    ids=repr,
)
def test_a_400_of_the_framework_without_faults_is_a_malformed_body(content: bytes) -> None:
    assert type(from_framework(400, content)) is errors.MalformedBody


def test_json_that_pydantic_cannot_read_is_a_malformed_body() -> None:
    error = framework([{"type": "json_invalid", "loc": [], "msg": "Invalid JSON: EOF"}])
    assert type(error) is errors.MalformedBody


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (404, errors.RouteNotFound),
        (405, errors.RouteNotFound),
        (415, errors.UnsupportedMediaType),
        (429, errors.NotReady),
        (503, errors.NotReady),
        (504, errors.DeadlineExceeded),
        (500, errors.InternalError),
        (418, errors.InternalError),
    ],
)
def test_a_status_of_the_framework_is_an_error_of_ours(status: int, cls: type[AnswerboxError]) -> None:
    error = from_framework(status, SECRET.encode())
    assert type(error) is cls
    assert SECRET not in str(error.to_wire())

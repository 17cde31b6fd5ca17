"""What the edge answers by itself under `/v1`: in OpenAI's shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from answerbox.errors import DeadlineExceeded, InternalError, Overloaded, RateLimited
from answerbox.service import problems
from answerbox.service.edge import Edge
from answerbox.settings import Settings
from tests.http.asgi import App, Call, Inner, Receive, Send

CHAT = "/v1/chat/completions"


async def ask(inner: App, method: str = "POST", path: str = CHAT, **options: Any) -> Call:
    call = Call(method, path, **options)
    await call.run(Edge(inner, Settings(max_body_bytes=2_000, data_dir=Path("no-such-folder"))))
    return call


def error(call: Call) -> dict[str, Any]:
    assert call.headers["content-type"] == "application/json"
    assert call.headers["x-request-id"]
    assert problems.MARK not in call.headers
    body = json.loads(call.body)
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    found: dict[str, Any] = body["error"]
    return found


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("POST", "/v1/nope", {}, 404, "route_not_found"),
        ("GET", CHAT, {}, 405, "method_not_allowed"),
        ("POST", CHAT, {"body": b"x" * 2_001}, 413, "payload_too_large"),
        ("POST", CHAT, {"headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type"),
        ("POST", CHAT, {"headers": {"x-request-timeout": "-1"}}, 400, "invalid_request"),
    ],
)
async def test_a_refusal_of_the_edge(method: str, path: str, options: Any, status: int, code: str) -> None:
    call = await ask(Inner(), method, path, **options)
    assert (call.status, error(call)["code"]) == (status, code)
    assert ("allow" in call.headers) == (status == 405)


async def test_what_the_framework_answers_by_itself() -> None:
    call = await ask(Inner(504, b"too late"))
    assert (call.status, error(call)["code"], error(call)["type"]) == (504, "deadline_exceeded", "server_error")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Overloaded("no", extra={"retry_after_s": 7}), 503, "overloaded"),
        (RateLimited("no", extra={"retry_after_s": 7}), 429, "rate_limit_exceeded"),
        (DeadlineExceeded("no"), 504, "deadline_exceeded"),
        (InternalError("secret"), 500, "internal"),
    ],
)
async def test_a_failure_keeps_its_status_and_its_headers(failure: Any, status: int, code: str) -> None:
    async def answers(scope: Any, receive: Receive, send: Send) -> None:
        await problems.response(failure, "r", CHAT)(scope, receive, send)

    call = await ask(answers)
    assert (call.status, error(call)["code"]) == (status, code)
    assert call.headers.get("retry-after") == ("7" if failure.extra else None)
    assert "secret" not in error(call)["message"]


async def test_other_paths_have_problem_documents() -> None:
    assert (await ask(Inner(), path="/v2/nope")).problem()["code"] == "route_not_found"

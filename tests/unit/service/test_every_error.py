"""Every failure, from where it is raised through the edge to the client: one shape, and no secret in a 500."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from answerbox import errors
from answerbox.contracts import Event, Problem, TokenEvent
from answerbox.errors import AnswerboxError, tree
from answerbox.service import exchange
from answerbox.service.edge import Edge
from answerbox.service.friendly import friendly
from answerbox.service.problems import STATUS
from answerbox.service.sse import stream_response
from answerbox.settings import Settings
from tests.http.asgi import App, Call, Inner, Receive, Send

EVERY = [cls for cls in tree() if cls.__module__ == errors.__name__]
EACH = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)
PATH = "/llm_query/stream"
REQUEST_ID = "request-1"
SECRETS = {"message": "secret-message", "hint": "secret-hint", "field": "secret-field", "fault": "secret-fault"}
EXTRA = "secret-extra"

Handler = Callable[[], Awaitable[Response]]


def example(cls: type[AnswerboxError]) -> AnswerboxError:
    return cls(
        SECRETS["message"],
        hint=SECRETS["hint"],
        errors=[{"field": SECRETS["field"], "message": SECRETS["fault"]}],
        extra={"detail": EXTRA},
    )


async def ask(app: App) -> Call:
    call = Call("POST", PATH, body=b"{}", headers={"x-request-id": REQUEST_ID})
    await call.run(Edge(app, Settings(data_dir=Path("no-such-folder"))))
    return call


def answering(handler: Handler) -> App:
    """An ASGI app that answers with what `handler`, made friendly, returns."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        response: Response = await friendly(handler)()
        await response(scope, receive, send)

    return app


def raising(error: AnswerboxError) -> App:
    async def handler() -> Response:
        raise error

    return answering(handler)


def bare(error: AnswerboxError) -> App:
    """Without `friendly`: as if the failure were in the framework's own code."""

    async def app(*_: Any) -> None:
        raise error

    return app


def streaming(error: AnswerboxError, *first: Event) -> App:
    async def events() -> AsyncGenerator[Event, None]:
        for event in first:
            yield event
        raise error

    async def handler() -> Response:
        return await stream_response(events(), exchange.current.get(), heartbeat_s=5)

    return answering(handler)


def last_event(call: Call) -> tuple[str, dict[str, Any]]:
    name, data = call.body.decode().rstrip("\n").split("\n\n")[-1].split("\n")
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return name.removeprefix("event: "), found


def sent(call: Call) -> str:
    """All that left: headers and body."""
    return f"{call.raw_headers} {call.body.decode()}"


def check(document: dict[str, Any], cls: type[AnswerboxError]) -> None:
    inside = STATUS[cls] == 500
    code = "internal" if inside else cls.code
    assert Problem.model_validate(document, extra="forbid").model_dump(exclude_none=True) == document
    assert (document["status"], document["code"]) == (STATUS[cls], code)
    assert document["type"] == f"urn:answerbox:problem:{code}"
    assert (document["request_id"], document["instance"]) == (REQUEST_ID, PATH)
    assert document["retryable"] is cls.retryable
    said = {name for name, secret in SECRETS.items() if secret in json.dumps(document)}
    assert said == (set() if inside else set(SECRETS)), "a 500 says nothing, any other all of it"


@pytest.mark.parametrize("way", [raising, bare, streaming])
@EACH
async def test_a_failure_leaves_as_the_problem_of_its_class(
    cls: type[AnswerboxError], way: Callable[[AnswerboxError], App]
) -> None:
    call = await ask(way(example(cls)))
    assert call.status == STATUS[cls]
    check(call.problem(), cls)
    assert EXTRA not in sent(call)


@EACH
async def test_a_stream_that_has_begun_ends_in_the_same_problem(cls: type[AnswerboxError]) -> None:
    call = await ask(streaming(example(cls), TokenEvent(text="Paris")))
    assert (call.status, call.headers["x-request-id"]) == (200, REQUEST_ID)
    name, data = last_event(call)
    assert (name, set(data)) == ("error", {"problem"})
    check(data["problem"], cls)
    assert data["problem"] == (await ask(raising(example(cls)))).problem()
    assert EXTRA not in sent(call)


@EACH
async def test_retry_after_stands_where_the_service_knows_how_long(cls: type[AnswerboxError]) -> None:
    call = await ask(raising(cls("no", extra={"retry_after_s": 7})))
    assert call.headers.get("retry-after") == ("7" if STATUS[cls] in (429, 503) else None)


@pytest.mark.parametrize("way", [raising, bare, streaming])
async def test_the_log_has_once_what_a_500_does_not_say(
    way: Callable[[AnswerboxError], App], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        await ask(way(example(errors.InternalError)))
    [line] = [record.getMessage() for record in caplog.records if SECRETS["message"] in record.getMessage()]
    assert REQUEST_ID in line


HIDDEN = "hunter2"
BODIES = {
    "empty": b"",
    "html": f"<html><body><h1>Oh</h1>{HIDDEN}</body></html>".encode(),
    "bentoml": json.dumps({"error": f"BentoML: {HIDDEN}"}).encode(),
    "bentoml-detail": json.dumps({"error": "x", "detail": HIDDEN}).encode(),
    "list": json.dumps([HIDDEN]).encode(),
    "bad-utf8": b"\xff\xfe " + HIDDEN.encode() + b"\xc3",
}
EXPECTED: dict[int, type[AnswerboxError]] = {
    400: errors.MalformedBody,
    401: errors.InternalError,
    404: errors.RouteNotFound,
    405: errors.RouteNotFound,
    415: errors.UnsupportedMediaType,
    429: errors.NotReady,
    500: errors.InternalError,
    502: errors.InternalError,
    503: errors.NotReady,
    504: errors.DeadlineExceeded,
    599: errors.InternalError,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize(("status", "cls"), EXPECTED.items(), ids=[str(status) for status in EXPECTED])
async def test_what_the_framework_answers_leaves_as_a_problem_too(
    status: int, cls: type[AnswerboxError], body: bytes
) -> None:
    call = await ask(Inner(status, body, headers={"content-type": "text/html"}))
    document = call.problem()
    assert Problem.model_validate(document, extra="forbid").model_dump(exclude_none=True) == document
    assert (call.status, document["code"], document["retryable"]) == (STATUS[cls], cls.code, cls.retryable)
    assert document["type"] == f"urn:answerbox:problem:{cls.code}"
    assert HIDDEN not in sent(call)

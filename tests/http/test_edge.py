"""The edge around a small ASGI app, driven with raw ASGI messages."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from answerbox.errors import Conflict, InternalError
from answerbox.service import exchange
from answerbox.service.edge import Edge
from answerbox.settings import Settings
from tests.doubles import until
from tests.http.asgi import App, Call, Inner

LIMIT = 2_000
NO_FOLDER = Path("no-such-folder")


def edge(inner: App) -> Edge:
    return Edge(inner, Settings(max_body_bytes=LIMIT, max_upload_bytes=3 * LIMIT, data_dir=NO_FOLDER))


async def ask(inner: App, method: str = "POST", path: str = "/llm_query", **options: Any) -> Call:
    call = Call(method, path, **options)
    await call.run(edge(inner))
    return call


async def test_a_good_request_reaches_the_app_and_its_answer_the_client() -> None:
    inner = Inner(201, b'{"answer": "Paris"}', headers={"x-own": "kept"})
    call = await ask(inner, body=b'{"question": "Who?"}')
    assert inner.bodies == [b'{"question": "Who?"}']
    assert (call.status, call.body, call.headers["x-own"]) == (201, b'{"answer": "Paris"}', "kept")


@pytest.mark.parametrize("parts", [[b'{"a"', b": 1", b"}"], [b"", b'{"a": 1}', b""]], ids=["three", "empty-ones"])
async def test_a_body_in_parts_arrives_whole(parts: list[bytes]) -> None:
    inner = Inner()
    await ask(inner, parts=parts)
    assert inner.bodies == [b'{"a": 1}']


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413)], ids=["at-limit", "over"])
@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
async def test_a_body_over_the_limit_is_refused(declared: bool, size: int, status: int) -> None:
    inner = Inner()
    headers = {"content-length": str(size)} if declared else {}
    half = size // 2
    call = await ask(inner, parts=[b"x" * half, b"x" * (size - half)], headers=headers)
    assert call.status == status
    assert len(inner.bodies) == (status == 200)
    if status == 413:
        assert call.problem()["code"] == "payload_too_large"


@pytest.mark.parametrize("path", ["/rag_query", "/search", "/documents", "/documents/x", "/v1/embeddings", "/mcp"])
async def test_what_the_service_was_not_made_for_is_refused_before_the_body_is_read(path: str) -> None:
    inner = Inner()
    settings = Settings(pipelines=frozenset({"custom"}), custom_pipeline="my:run_model", data_dir=NO_FOLDER)
    call = Call("GET" if path == "/documents/x" else "POST", path, body=b"{")
    await call.run(Edge(inner, settings))
    assert (call.status, inner.bodies) == (404, [])
    assert b'"code":"not_served"' in call.body.replace(b'": "', b'":"')
    call = Call("POST", "/custom_query", body=b"{}")
    await call.run(Edge(inner, settings))
    assert (call.status, inner.bodies) == (200, [b"{}"])


FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(("size", "status"), [(3 * LIMIT, 200), (3 * LIMIT + 1, 413)], ids=["at-limit", "over"])
async def test_a_form_with_files_has_a_limit_of_its_own_and_is_passed_on_piece_by_piece(size: int, status: int) -> None:
    inner = Inner()
    half = size // 2
    parts = [b"x" * half, b"x" * (size - half)]
    call = await ask(inner, path="/documents", parts=parts, headers=FORM)
    assert call.status == status
    assert inner.bodies == ([b"".join(parts)] if status == 200 else [])


async def test_a_form_is_refused_where_no_files_are_taken() -> None:
    call = await ask(Inner(), headers=FORM, body=b"x")
    assert (call.status, call.problem()["code"]) == (415, "unsupported_media_type")


async def test_a_declared_length_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    call = await ask(Inner(), headers={"content-length": str(10**12)}, body=b"x")
    assert (call.status, call.received) == (413, 0)


async def test_a_chunked_body_is_not_read_to_its_end_once_it_is_too_long() -> None:
    call = await ask(Inner(), parts=[b"x" * 1_000] * 50)
    assert call.status == 413
    assert call.received <= 3


@pytest.mark.parametrize("length", ["", "-1", "abc", "1e99", "²"])
async def test_a_content_length_that_is_no_number_does_not_lift_the_limit(length: str) -> None:
    headers = {"content-length": length}
    assert (await ask(Inner(), body=b"x" * (LIMIT + 1), headers=headers)).status == 413
    assert (await ask(Inner(), body=b"{}", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("", 415),
        ("text/plain", 415),
        ("application/jsonp", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/vnd.bentoml+pickle", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_only_json_is_taken(kind: str, status: int) -> None:
    inner = Inner()
    call = await ask(inner, body=b"{}", headers={"content-type": kind})
    assert call.status == status
    assert len(inner.bodies) == (status == 200)
    if status == 415:
        assert call.problem()["code"] == "unsupported_media_type"


async def test_a_content_type_that_stands_twice_is_refused() -> None:
    inner = Inner()
    call = Call("POST", "/llm_query", body=b"{}", headers={"content-type": "multipart/form-data; boundary=x"})
    call._scope["headers"].append((b"content-type", b"application/json"))  # type: ignore[attr-defined]
    await call.run(edge(inner))
    assert (call.status, inner.bodies) == (415, [])
    assert "twice" in call.problem()["detail"]


async def test_a_get_needs_no_content_type() -> None:
    assert (await ask(Inner(), "GET", "/health", headers={"content-type": "text/plain"})).status == 200


@pytest.mark.parametrize("path", ["/nope", "/llm_query/", "/static_content/x", "/docs", ""])
async def test_an_unknown_path_does_not_reach_the_app(path: str) -> None:
    inner = Inner()
    call = await ask(inner, "GET", path)
    assert (call.status, call.problem()["code"], inner.bodies) == (404, "route_not_found", [])
    assert call.problem()["instance"] == path


async def test_a_wrong_method_does_not_reach_the_app() -> None:
    inner = Inner()
    call = await ask(inner, "DELETE", "/documents")
    assert (call.status, call.headers["allow"], inner.bodies) == (405, "GET, POST", [])
    assert call.problem()["code"] == "method_not_allowed"


async def test_the_app_sees_the_template_and_the_values_apart() -> None:
    inner = Inner()
    await ask(inner, "GET", "/documents/docs/a b.md")
    [(path, values)] = inner.seen
    assert (path, values) == ("/documents/{document_id}", {"document_id": "docs/a b.md"})


FAULTS = json.dumps({"error": "x", "detail": [{"type": "missing", "loc": ["question"], "msg": "Field required"}]})


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        pytest.param(400, FAULTS, 422, "invalid_request", id="400-with-faults"),
        pytest.param(400, "what?", 400, "malformed_body", id="400"),
        pytest.param(404, "Not Found", 404, "route_not_found", id="404"),
        pytest.param(503, "", 503, "not_ready", id="503"),
        pytest.param(429, "", 503, "not_ready", id="429"),
        pytest.param(504, "", 504, "deadline_exceeded", id="504"),
        pytest.param(500, "Traceback: hunter2", 500, "internal", id="500"),
        pytest.param(418, "hunter2", 500, "internal", id="418"),
    ],
)
async def test_a_failure_of_the_framework_gets_the_one_shape(status: int, body: str, expected: int, code: str) -> None:
    call = await ask(Inner(status, body.encode(), parts=3), body=b"{}")
    problem = call.problem()
    assert (call.status, problem["code"]) == (expected, code)
    assert b"hunter2" not in call.body
    assert ("retry-after" in call.headers) == (expected == 503)
    assert (problem["instance"], problem["request_id"]) == ("/llm_query", call.headers["x-request-id"])


async def test_a_problem_of_the_app_passes_as_it_is() -> None:
    body = b'{"status": 409, "code": "conflict"}'
    call = await ask(Inner(409, body, headers={"content-type": "application/problem+json"}), body=b"{}")
    assert (call.status, call.body) == (409, body)


@pytest.mark.parametrize("given", ["request-1", "A.b_c-12", "x" * 128])
async def test_a_harmless_request_id_is_kept(given: str) -> None:
    inner = Inner()
    call = await ask(inner, body=b"{}", headers={"x-request-id": given})
    assert call.headers["x-request-id"] == given
    assert inner.request_ids == [given]


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 129, "with blank 1", "<script>123", "id\r\nx: y", "ёёёёёёёё"], ids=repr
)
async def test_another_request_id_is_replaced(given: str) -> None:
    inner = Inner()
    call = await ask(inner, body=b"{}", headers={"x-request-id": given})
    found = call.headers["x-request-id"]
    assert found != given
    assert inner.request_ids == [found]
    assert len(found) == 32


async def test_two_requests_have_two_ids() -> None:
    ids = {(await ask(Inner(), body=b"{}")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


async def test_headers_that_tell_of_the_inside_are_hidden() -> None:
    headers = {"server": "uvicorn", "x-bentoml-request-id": "7", "x-request-id": "theirs"}
    call = await ask(Inner(headers=headers), body=b"{}")
    assert not {"server", "x-bentoml-request-id"} & set(call.headers)
    assert [name for name, _ in call.raw_headers].count(b"x-request-id") == 1


async def test_a_client_who_leaves_before_the_body_is_complete_is_told_nothing() -> None:
    inner = Inner()
    call = await ask(inner, parts=[b'{"a"'], leave="in-body")
    assert (call.sent, inner.bodies) == ([], [])


async def test_a_client_who_leaves_while_the_app_works_is_noticed() -> None:
    noticed = asyncio.Event()

    async def inner(_: Any, receive: Any, __: Any) -> None:
        await receive()
        await exchange.current.get().disconnected.wait()
        assert (await receive())["type"] == "http.disconnect"
        noticed.set()

    call = Call("POST", "/llm_query", body=b"{}", leave="after-body")
    await asyncio.wait_for(call.run(edge(inner)), 5)
    assert noticed.is_set()


async def test_a_client_who_stays_is_not_taken_for_gone() -> None:
    inner = Inner()
    assert (await ask(inner, body=b"{}")).status == 200
    assert inner.gone == [False]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(ValueError("hunter2"), 500, "internal", id="bug"),
        pytest.param(InternalError("hunter2"), 500, "internal", id="our-500"),
        pytest.param(Conflict("not now"), 409, "conflict", id="ours"),
        pytest.param(TimeoutError("hunter2"), 500, "internal", id="timeout"),
    ],
)
async def test_an_exception_inside_is_a_problem_that_leaks_nothing(error: Exception, status: int, code: str) -> None:
    async def inner(*_: Any) -> None:
        raise error

    call = await ask(inner, body=b"{}")
    assert (call.status, call.problem()["code"]) == (status, code)
    assert b"hunter2" not in call.body


async def test_an_exception_after_a_held_back_failure_is_one_answer() -> None:
    async def inner(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        raise ValueError("hunter2")

    call = await ask(inner, body=b"{}")
    assert call.status == 500
    assert [message["type"] for message in call.sent] == ["http.response.start", "http.response.body"]


async def test_an_exception_after_the_start_ends_the_connection() -> None:
    async def inner(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("hunter2")

    call = Call("POST", "/llm_query", body=b"{}")
    with pytest.raises(InternalError):
        await call.run(edge(inner))
    assert call.body == b"half"
    assert call.sent[-1]["more_body"], "the answer must not look whole"


async def test_a_head_goes_with_its_body_so_that_one_that_dies_in_between_has_said_nothing() -> None:
    heard = list[int]()

    async def inner(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        heard.append(len(call.sent))
        raise RuntimeError("a bug")

    call = Call("POST", "/llm_query", body=b"{}")
    await call.run(edge(inner))
    assert heard == [0]
    assert (call.status, call.problem()["code"]) == (500, "internal")


async def test_the_head_of_a_stream_goes_at_once() -> None:
    heard = list[int]()

    async def inner(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        heard.append(len(call.sent))
        await send({"type": "http.response.body", "body": b"all"})

    call = Call("POST", "/llm_query/stream", body=b"{}")
    await call.run(edge(inner))
    assert heard == [1]


async def test_the_exchange_ends_with_the_request() -> None:
    await ask(Inner(), body=b"{}")
    with pytest.raises(LookupError):
        exchange.current.get()


async def test_no_task_watches_a_client_whose_request_has_ended() -> None:
    before = asyncio.all_tasks()
    await ask(Inner(), body=b"{}")
    await until(lambda: asyncio.all_tasks() <= before, what="the end of its tasks")


async def test_the_lifespan_goes_through() -> None:
    seen: list[str] = []

    async def inner(scope: Any, *_: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    await edge(inner)({"type": "lifespan"}, nothing, nothing)
    await edge(inner)({"type": "websocket", "path": "/", "headers": []}, nothing, nothing)
    assert seen == ["lifespan"]

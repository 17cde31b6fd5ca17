"""Who the edge lets in, how many of them, and for how long."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from answerbox import keys
from answerbox.errors import SetupError
from answerbox.service import exchange, openai_problems
from answerbox.service.edge import Edge
from answerbox.service.routes import ROUTES, Route
from answerbox.settings import Settings
from tests.doubles import until
from tests.http.asgi import App, Call, Inner

SCOPED = [route for route in ROUTES if route.scope]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def edge(inner: App, folder: Path, **settings: Any) -> Edge:
    return Edge(inner, Settings(data_dir=folder, **settings))


def key(folder: Path, *scopes: str, name: str = "ada", **about: Any) -> dict[str, str]:
    """The headers of a new key."""
    text, _ = keys.create(folder / "keys.json", name, list(scopes), **about)
    return {"authorization": f"Bearer {text}"}


async def ask(app: Edge, method: str = "POST", path: str = "/llm_query", **options: Any) -> Call:
    call = Call(method, path, **{"body": b"{}", **options})
    async with asyncio.timeout(10):
        await call.run(app)
    return call


def told(call: Call) -> tuple[str, str]:
    """Code and words of a failure, in the shape of whichever door."""
    if b'"error"' in call.body:
        error = json.loads(call.body)["error"]
        return error["code"], error["message"]
    return call.problem()["code"], call.problem()["detail"]


def place(route: Route) -> str:
    return route.template.partition("{")[0] + ("x" if "{" in route.template else "")


@pytest.mark.parametrize("route", SCOPED, ids=lambda route: f"{route.method} {route.template}")
async def test_every_route_with_a_scope_is_closed_without_a_key_and_opened_by_the_right_one(
    route: Route, folder: Path
) -> None:
    assert route.scope
    right = key(folder, route.scope)
    wrong = key(folder, "metrics" if route.scope != "metrics" else "query", name="bob")
    inner = Inner()
    app = edge(inner, folder, open_routes=frozenset(), custom_pipeline="mine:run_model")
    closed = await ask(app, route.method, place(route))
    assert closed.status == 401
    assert told(closed)[0] == ("invalid_api_key" if openai_problems.is_openai(route.template) else "unauthorized")
    assert closed.headers["www-authenticate"].startswith("Bearer")
    denied = await ask(app, route.method, place(route), headers=wrong)
    code, detail = told(denied)
    assert (denied.status, code) == (403, "forbidden")
    assert route.scope in detail
    assert inner.bodies == []
    assert (await ask(app, route.method, place(route), headers=right)).status == 200


@pytest.mark.parametrize("path", ["/", "/ui/main.js", "/livez", "/readyz"])
async def test_probes_need_no_key(path: str, folder: Path) -> None:
    key(folder, "query")
    assert (await ask(edge(Inner(), folder), "GET", path)).status == 200


@pytest.mark.parametrize(
    ("name", "path"), [("docs", "/docs.json"), ("docs", "/schema.json"), ("health", "/health"), ("metrics", "/metrics")]
)
async def test_what_the_settings_open_needs_no_key(name: str, path: str, folder: Path) -> None:
    key(folder, "query")
    assert (await ask(edge(Inner(), folder, open_routes=frozenset({name})), "GET", path)).status == 200


async def test_without_any_key_everything_is_open_in_development_and_nothing_starts_in_production(folder: Path) -> None:
    app = edge(Inner(), folder)
    assert (await ask(app)).status == 200
    with pytest.raises(SetupError, match="API keys"):
        edge(Inner(), folder, env="production")
    headers = key(folder, "query")
    assert (await ask(app)).status == 401, "the running service asks for keys once there are some"
    production = edge(Inner(), folder, env="production")
    assert (await ask(production, headers=headers)).status == 200
    keys.revoke(folder / "keys.json", "ada")
    for former in (app, production):
        assert (await ask(former, headers=headers)).status == 401, "the last key is gone: nobody may"


@pytest.mark.parametrize(
    "wrong",
    [
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": "Basic YTpi"},
        {"x-api-key": "ab_00000000_" + "A" * 43},
        {"authorization": "Bearer " + "A" * 10_000},
        {"x-api-key": "ё"},
    ],
    ids=["nothing", "blank", "basic", "unknown", "long", "not-ascii"],
)
async def test_wrong_keys_are_refused_without_saying_why(wrong: dict[str, str], folder: Path) -> None:
    key(folder, "query")
    app = edge(Inner(), folder)
    problem = (await ask(app, headers=wrong)).problem()
    missing = (await ask(app)).problem()
    own = {"request_id": "", "trace_id": ""}
    assert problem | own == missing | own


async def test_both_headers_take_the_key(folder: Path) -> None:
    text = key(folder, "query")["authorization"].removeprefix("Bearer ")
    app = edge(Inner(), folder)
    for headers in ({"x-api-key": text}, {"authorization": f"bearer {text}"}, {"authorization": f"Bearer  {text}"}):
        assert (await ask(app, headers=headers)).status == 200


async def test_nothing_of_a_body_is_read_for_a_caller_without_a_key(folder: Path) -> None:
    key(folder, "query")
    call = await ask(edge(Inner(), folder), parts=[b"x"] * 5)
    assert (call.status, call.received) == (401, 0)


async def test_a_rate_is_told_and_kept(folder: Path) -> None:
    headers = key(folder, "query", requests_per_minute=2)
    other = key(folder, "query", name="bob")
    app = edge(Inner(), folder)
    calls = [await ask(app, headers=headers) for _ in range(3)]
    assert [call.status for call in calls] == [200, 200, 429]
    assert [call.headers["ratelimit-remaining"] for call in calls] == ["1", "0", "0"]
    assert {call.headers["ratelimit-limit"] for call in calls} == {"2"}
    refused = calls[2]
    assert refused.problem()["code"] == "rate_limited"
    assert refused.problem()["retryable"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
    free = await ask(app, headers=other)
    assert free.status == 200
    assert "ratelimit-limit" not in free.headers


async def test_the_usual_rate_is_a_setting(folder: Path) -> None:
    headers = key(folder, "query")
    app = edge(Inner(), folder, requests_per_minute=1)
    assert [(await ask(app, headers=headers)).status for _ in range(2)] == [200, 429]


async def test_a_days_tokens_are_counted_after_the_answer(folder: Path) -> None:
    async def spends(scope: Any, receive: Any, send: Any) -> None:
        exchange.current.get().tokens = 60
        await Inner()(scope, receive, send)

    headers = key(folder, "query", tokens_per_day=100)
    app = edge(spends, folder)
    calls = [await ask(app, headers=headers) for _ in range(3)]
    assert [call.status for call in calls] == [200, 200, 429]
    assert "tokens" in calls[2].problem()["detail"]


async def test_tokens_count_though_the_client_has_hung_up(folder: Path) -> None:
    async def gone(*_: Any) -> None:
        with exchange.current.get().trace.step("generate", "generation") as step:
            step.usage = {"total": 100}
            raise exchange.ClientGone

    headers = key(folder, "query", tokens_per_day=100)
    app = edge(gone, folder)
    assert not (await ask(app, headers=headers)).sent
    assert (await ask(app, headers=headers)).status == 429


class Waiting:
    """An app whose answers wait until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.inside = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        await self.go.wait()
        await Inner()(scope, receive, send)


async def running(stack: AsyncExitStack, app: Edge, inner: Waiting, count: int, **options: Any) -> None:
    """So many requests that wait inside; they end with the stack."""
    wanted = inner.inside + count
    tasks = [asyncio.create_task(ask(app, **options)) for _ in range(count)]

    async def end() -> None:
        inner.go.set()
        await asyncio.gather(*tasks)

    stack.push_async_callback(end)
    await until(lambda: inner.inside == wanted, what="all are inside")


async def test_more_requests_than_there_are_places_are_refused_but_probes_are_answered(folder: Path) -> None:
    inner = Waiting()
    app = edge(inner, folder, max_requests=2)
    async with AsyncExitStack() as stack:
        await running(stack, app, inner, 2)
        refused = await ask(app)
        assert (refused.status, refused.problem()["code"]) == (503, "overloaded")
        assert refused.received == 0
        inner.go.set()
        assert (await ask(app, "GET", "/livez")).status == 200
    assert (await ask(app)).status == 200, "places are given back"


async def test_a_key_has_places_of_its_own_and_fewer_for_streams(folder: Path) -> None:
    headers, other = key(folder, "query"), key(folder, "query", name="bob")
    inner = Waiting()
    app = edge(inner, folder, max_key_requests=3, max_key_streams=1)
    async with AsyncExitStack() as stack:
        await running(stack, app, inner, 1, path="/llm_query/stream", headers=headers)
        assert (await ask(app, path="/rag_query/stream", headers=headers)).status == 429
        await running(stack, app, inner, 2, headers=headers)
        refused = await ask(app, headers=headers)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        await running(stack, app, inner, 1, headers=other)
    assert (await ask(app, path="/llm_query/stream", headers=headers)).status == 200


async def test_an_answer_that_turns_out_to_be_a_stream_counts_as_one(folder: Path) -> None:
    class Streaming(Waiting):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            exchange.current.get().takes_stream()
            await super().__call__(scope, receive, send)

    headers, inner = key(folder, "query"), Streaming()
    app = edge(inner, folder, max_key_streams=1)
    path = "/v1/chat/completions"
    async with AsyncExitStack() as stack:
        await running(stack, app, inner, 1, path=path, headers=headers)
        refused = await ask(app, path=path, headers=headers)
        assert (refused.status, told(refused)[0]) == (429, "rate_limit_exceeded")
    assert (await ask(app, path=path, headers=headers)).status == 200, "its place is given back"


@pytest.mark.parametrize("given", ["0", "0.09", "-1", "nan", "1e3", "501", "abc", "", "1" * 50, "٣", "inf"])
async def test_a_deadline_that_cannot_be_is_refused_with_its_bound(given: str, folder: Path) -> None:
    call = await ask(edge(Inner(), folder), headers={"x-request-timeout": given})
    problem = call.problem()
    assert (call.status, problem["errors"][0]["field"]) == (422, "X-Request-Timeout")
    assert "500" in problem["errors"][0]["message"]


async def test_the_callers_deadline_is_the_requests(folder: Path) -> None:
    seen: list[float] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(exchange.current.get().remaining())
        await Inner()(scope, receive, send)

    app = edge(inner, folder, request_timeout_s=40, max_request_timeout_s=50)
    await ask(app)
    await ask(app, headers={"x-request-timeout": "2.5"})
    assert (await ask(app, headers={"x-request-timeout": "51"})).status == 422
    assert 39 < seen[0] <= 40
    assert 1.5 < seen[1] <= 2.5


async def test_a_body_that_does_not_come_is_given_up(folder: Path) -> None:
    silent = await ask(edge(Inner(), folder, body_silence_s=0.05), parts=[b'{"a"'], stalls=True)
    assert (silent.status, silent.problem()["code"]) == (408, "body_timeout")
    late = await ask(edge(Inner(), folder), parts=[b'{"a"'], stalls=True, headers={"x-request-timeout": "0.1"})
    assert (late.status, late.problem()["code"]) == (408, "body_timeout")


async def test_a_client_that_takes_nothing_of_its_answer_is_given_up(folder: Path) -> None:
    app = edge(Inner(), folder, reader_silence_s=0.05)
    call = await ask(app, deaf=True)
    assert [message["type"] for message in call.sent] == ["http.response.start"]
    assert (await ask(app)).status == 200


async def test_every_answer_has_the_security_headers_once(folder: Path) -> None:
    own = {"cache-control": "max-age=5"}
    for call in (await ask(edge(Inner(headers=own), folder)), await ask(edge(Inner(), folder), path="/nope")):
        names = [name for name, _ in call.raw_headers]
        assert names.count(b"cache-control") == 1
        assert call.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in call.headers["content-security-policy"]
    assert (await ask(edge(Inner(headers=own), folder))).headers["cache-control"] == "max-age=5"

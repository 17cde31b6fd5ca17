"""MCP's door, with the official client against live services: one that is open, and one that asks for keys."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, TextResourceContents

from answerbox import keys
from answerbox.service.mcp_tools import TOOLS
from tests.live import Live, serving, wait_until
from tests.mcp_kit import connected, text_of

NEW, OLD = "2026-07-28", "legacy"
MODES = pytest.mark.parametrize("mode", [NEW, OLD])
RUSSIAN = "Паром на Кижи отходит в девять утра. Билет стоит 450 рублей."
DOCUMENTS = [
    {"id": "ferry/north", "title": "Ferry", "text": "The ferry to Valaam leaves at ten. A ticket costs 900 roubles."},
    {"id": "паром", "title": "Паром", "text": RUSSIAN},
]
LONG = {"question": "word " * 1_500, "pipeline": "llm"}
"""Takes a minute and more, if nobody ends it."""
ALL = ["query", "documents:write", "metrics"]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, str]]:
    """A service in production with documents, and a key that may all."""
    folder = tmp_path_factory.mktemp("mcp")
    key = _key(folder, "all", ALL)
    with serving(
        folder,
        env="production",
        generator_model="fake",
        embedder_model="fake",
        fake_token_delay_s="0.05",
        default_max_tokens="2000",
        isolation="true",
    ) as live:
        for body in ({"documents": DOCUMENTS}, {"documents": [{"id": "mine", "text": "Ada's.", "user_id": "ada"}]}):
            job = _send(live, key, "POST", "/documents", json=body).json()["job_id"]
            _wait_for_job(live, key, job)
        yield live, key


def _wait_for_job(live: Live, key: str, job: str) -> None:
    wait_until(lambda: _send(live, key, "GET", f"/jobs/{job}").json()["finished_at"], 60, "indexed")


def _key(folder: Any, name: str, scopes: list[str], **more: Any) -> str:
    text, _ = keys.create(folder / "data" / "keys.json", name, scopes, **more)
    return text


def _send(live: Live, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"X-API-Key": key, **options.pop("headers", {})}
    with live.client(60) as client:
        return client.request(method, path, headers=headers, **options)


@MODES
async def test_tools_have_schemas_and_only_read(fakes: Live, mode: str) -> None:
    async with connected(fakes.url, mode=mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        instructions = client.instructions
    assert set(tools) == {"ask", "search", "list_documents"}
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())
    assert tools["ask"].input_schema["required"] == ["question"]
    assert set(tools["ask"].input_schema["properties"]) == {"question", "pipeline", "context", "top_k", "filter"}
    assert all(tool.output_schema and tool.output_schema["type"] == "object" for tool in tools.values())
    assert mode == NEW or (instructions and "`ask`" in instructions)


@MODES
async def test_an_open_service_answers_without_a_key(fakes: Live, mode: str) -> None:
    async with connected(fakes.url, mode=mode) as client:
        answer = await client.call_tool("ask", {"question": "one two three", "pipeline": "llm"})
    assert (text_of(answer), answer.is_error) == ("one two three", False)
    assert answer.structured_content["answer"] == "one two three"
    assert answer.structured_content["meta"]["pipeline"] == "llm"


@pytest.mark.parametrize("pipeline", ["rag", "agent"])
@MODES
async def test_an_answer_from_the_documents_has_citations(closed: tuple[Live, str], pipeline: str, mode: str) -> None:
    live, key = closed
    async with connected(live.url, key, mode) as client:
        await client.list_tools()  # from here on it holds results to their schemas
        answer = await client.call_tool("ask", {"question": "Сколько стоит билет на паром?", "pipeline": pipeline})
    assert not answer.is_error, text_of(answer)
    meta = answer.structured_content["meta"]
    assert meta["pipeline"] == pipeline
    assert [source["document_id"] for source in meta["sources"]][:1] == ["паром"]
    assert f"[1] Паром <answerbox://documents/{quote('паром')}>" in text_of(answer)
    assert text_of(answer).startswith(answer.structured_content["answer"])
    same = _send(live, key, "POST", f"/{pipeline}_query", json={"question": "Сколько стоит билет на паром?"}).json()
    assert same["answer"] == answer.structured_content["answer"]


@MODES
async def test_search_and_the_list_page_through_the_documents(closed: tuple[Live, str], mode: str) -> None:
    live, key = closed
    async with connected(live.url, key, mode) as client:
        await client.list_tools()
        found = await client.call_tool("search", {"query": "ticket to Valaam", "top_k": 1})
        first = await client.call_tool("list_documents", {"limit": 1})
        second = await client.call_tool("list_documents", {"limit": 1, "after": first.structured_content["next_after"]})
    assert [hit["document_id"] for hit in found.structured_content["hits"]] == ["ferry/north"]
    assert "900 roubles" in text_of(found)
    pages = [page.structured_content["documents"][0]["document_id"] for page in (first, second)]
    assert pages == ["ferry/north", "паром"]
    assert "call again" in text_of(first)
    assert second.structured_content["next_after"] is None


@MODES
async def test_documents_are_resources(closed: tuple[Live, str], mode: str) -> None:
    live, key = closed
    async with connected(live.url, key, mode) as client:
        listed = (await client.list_resources()).resources
        assert [resource.name for resource in listed] == ["ferry/north", "паром"]
        [template] = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "answerbox://documents/{document_id}{?user_id}"
        [contents] = (await client.read_resource(listed[1].uri)).contents
        assert isinstance(contents, TextResourceContents)
        assert (contents.text, contents.mime_type) == (RUSSIAN, "text/plain")
        for uri in ("answerbox://documents/nope", "file:///etc/hosts", "answerbox://documents/"):
            with pytest.raises(MCPError) as missing:
                await client.read_resource(uri)
            assert missing.value.code == INVALID_PARAMS
            assert missing.value.message.startswith("document_not_found: ")


async def test_a_users_key_reads_the_users_documents_and_nobodys(closed: tuple[Live, str]) -> None:
    live, _ = closed
    ada, bob = (_key(live.folder, f"reads-{name}", ["query"], user_id=name) for name in ("ada", "bob"))
    mine = "answerbox://documents/mine?user_id=ada"
    async with connected(live.url, ada) as client:
        assert mine in [resource.uri for resource in (await client.list_resources()).resources]
        for uri in (mine, "answerbox://documents/mine", f"answerbox://documents/{quote('паром')}"):
            assert (await client.read_resource(uri)).contents
    async with connected(live.url, bob) as client:
        assert mine not in [resource.uri for resource in (await client.list_resources()).resources]
        with pytest.raises(MCPError, match="forbidden"):
            await client.read_resource(mine)
        with pytest.raises(MCPError, match="document_not_found"):
            await client.read_resource("answerbox://documents/mine")


def _message(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@pytest.mark.parametrize(("given", "status", "code"), [(None, 401, "unauthorized"), ("ab_wrong", 401, "unauthorized")])
async def test_no_key_and_a_wrong_one_are_refused_over_http(
    closed: tuple[Live, str], given: str | None, status: int, code: str
) -> None:
    live, _ = closed
    with pytest.raises(Exception) as refused:  # noqa: PT011 - a group of the client's own
        async with connected(live.url, given) as client:
            await client.list_tools()
    assert refused.group_contains(MCPError) or isinstance(refused.value, MCPError)
    answer = _send(live, given or "", "POST", "/mcp", json=_message("tools/list"))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == 'Bearer realm="answerbox"'


def test_a_missing_scope_is_refused_over_http(closed: tuple[Live, str]) -> None:
    live, _ = closed
    key = _key(live.folder, "metrics-only", ["metrics"])
    answer = _send(live, key, "POST", "/mcp", json=_message("tools/list"))
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "'query'" in answer.json()["detail"]


async def test_over_the_rate_is_refused_over_http(closed: tuple[Live, str]) -> None:
    live, _ = closed
    key = _key(live.folder, "slow", ["query"], requests_per_minute=2)
    for _ in range(2):
        _send(live, key, "POST", "/mcp", json=_message("ping"))
    answer = _send(live, key, "POST", "/mcp", json=_message("ping"))
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert int(answer.headers["retry-after"]) <= 60
    async with connected(live.url, key, NEW) as client:
        with pytest.raises(MCPError):
            await client.call_tool("search", {"query": "x"})


@MODES
async def test_what_a_tool_cannot_do_it_says_with_code_and_hint(fakes: Live, mode: str) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("ask", {}, "question"),
        ("ask", {"question": "x", "pipeline": "magic"}, "pipeline"),
        ("ask", {"question": "x", "user_id": "ada"}, "user_id"),
        ("ask", {"question": "x", "pipeline": "llm", "top_k": 3}, "top_k"),
        ("ask", {"question": "x", "filter": {"a": {"$near": 1}}}, "filter"),
        ("search", {"query": "x", "top_k": 1_000}, "top_k"),
        ("list_documents", {"limit": 0}, "limit"),
    ]
    async with connected(fakes.url, mode=mode) as client:
        for name, arguments, field in wrong:
            answer = await client.call_tool(name, arguments)
            assert answer.is_error
            assert text_of(answer).startswith("invalid_request: ")
            assert answer.meta
            problem = answer.meta["answerbox/problem"]
            assert (problem["code"], problem["status"]) == ("invalid_request", 422)
            assert field in " ".join(fault["field"] for fault in problem["errors"])


@MODES
async def test_an_unknown_tool_and_method_are_errors_of_the_protocol(fakes: Live, mode: str) -> None:
    async with connected(fakes.url, mode=mode) as client:
        with pytest.raises(MCPError) as unknown:
            await client.call_tool("delete_everything", {})
        assert unknown.value.code == INVALID_PARAMS
        assert "There are: ask, search, list_documents." in unknown.value.message
        with pytest.raises(MCPError) as nothing:
            await client.get_prompt("x")
        assert nothing.value.code == METHOD_NOT_FOUND


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[" * 50_000, -32700),
        (b"[]", -32600),
        (b'"x"', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": [1]}', -32600),
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused_in_words(fakes: Live, body: bytes, code: int) -> None:
    with fakes.client() as client:
        answer = client.post("/mcp", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.json()["error"]["message"]
    assert answer.headers["content-type"] == "application/json"


def test_the_edge_holds_here_too(fakes: Live) -> None:
    with fakes.client() as client:
        for method in ("GET", "DELETE"):
            answer = client.request(method, "/mcp")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        text = client.post("/mcp", content=b"hi", headers={"Content-Type": "text/plain"})
        assert (text.status_code, text.json()["code"]) == (415, "unsupported_media_type")
        page = client.post("/mcp", json=_message("tools/list"), headers={"Origin": "https://evil.example"})
        assert (page.status_code, page.json()["code"]) == (403, "forbidden")
        named = client.post("/mcp", json=_message("ping"), headers={"X-Request-Id": "of-my-own-1"})
        assert (named.status_code, named.headers["x-request-id"]) == (200, "of-my-own-1")


async def test_a_deadline_is_a_failure_of_the_tool(closed: tuple[Live, str]) -> None:
    live, key = closed
    async with connected(live.url, key, headers={"X-Request-Timeout": "1"}) as client:
        answer = await client.call_tool("ask", LONG)
    if answer.is_error:
        assert text_of(answer).startswith("deadline_exceeded: ")
    else:
        assert answer.structured_content["meta"]["finish_reason"] == "deadline"


@MODES
async def test_progress_is_told_where_it_is_asked_for(closed: tuple[Live, str], mode: str) -> None:
    live, key = closed
    told: list[tuple[float, str | None]] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        assert total is None  # nobody knows
        told.append((progress, message))

    async with connected(live.url, key, mode) as client:
        answer = await client.call_tool("ask", {"question": "When does the ferry leave?"}, progress_callback=heard)
    assert not answer.is_error
    assert [progress for progress, _ in told] == list(range(1, len(told) + 1))
    assert "search: done" in [message for _, message in told]


@MODES
async def test_a_call_that_is_cancelled_ends_the_work(closed: tuple[Live, str], mode: str) -> None:
    live, key = closed
    before = _gone(live, key)
    async with connected(live.url, key, mode) as client:
        await _cancelled_in_the_middle(client, live, key)
        await _until(lambda: _running(live, key) == 0, "its generation has ended")
        await _until(lambda: _gone(live, key) > before, "the request has ended")
        assert not (await client.call_tool("search", {"query": "ferry"})).is_error


async def _cancelled_in_the_middle(client: Client, live: Live, key: str) -> None:
    call = asyncio.create_task(client.call_tool("ask", LONG))
    await _until(lambda: _running(live, key) == 1, "it runs")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def _until(true: Any, what: str) -> None:
    await asyncio.to_thread(wait_until, true, 30, what)


def _running(live: Live, key: str) -> int:
    detail = _send(live, key, "GET", "/health").json()["dependencies"]["generator"]["detail"]
    return int(detail["running"])


def _gone(live: Live, key: str) -> float:
    mark = 'answerbox_requests_total{method="POST",pipeline="llm",route="mcp",status="client_gone"}'
    lines = [line for line in _send(live, key, "GET", "/metrics").text.splitlines() if line.startswith(mark)]
    return float(lines[0].split()[-1]) if lines else 0.0


def test_its_requests_are_counted_under_their_pipeline_and_have_a_line_in_the_log(fakes: Live) -> None:
    for name, arguments in (("ask", {"question": "one"}), ("search", {"query": "one"})):
        assert fakes.post("/mcp", _message("tools/call", name=name, arguments=arguments)).status_code == 200
    metrics = fakes.get("/metrics").text
    for pipeline in ("rag", "search"):
        assert f'answerbox_requests_total{{method="POST",pipeline="{pipeline}",route="mcp",status="2xx"}}' in metrics
    assert '"route":"/mcp"' in fakes.log.read_text().replace(" ", "")


def test_the_example_of_the_documentation_runs(fakes: Live) -> None:
    page = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    fakes.index([{"id": "port", "text": "Answerbox uses port 3000."}])
    code = code.replace("http://127.0.0.1:3000", fakes.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "port 3000" in done.stdout
    assert "answerbox://documents/port" in done.stdout


def test_it_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("off")
    with serving(folder, generator_model="fake", embedder_model="fake", mcp="false") as live:
        answer = live.post("/mcp", _message("tools/list"))
        assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


def test_each_tool_needs_the_scope_of_the_route_that_it_stands_for() -> None:
    from answerbox.service.routes import match

    routes = {"ask": ("POST", "/rag_query"), "search": ("POST", "/search"), "list_documents": ("GET", "/documents")}
    assert set(routes) == set(TOOLS)
    door, _ = match("POST", "/mcp")
    assert {match(*route)[0].scope for route in routes.values()} == {door.scope}

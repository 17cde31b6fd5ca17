"""Tools of a real MCP server: which become the agent's, and what is left of what the server says."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mcp_types import Tool as ServedTool

from answerbox.adapters.mcp_bounds import MOST_BYTES
from answerbox.adapters.mcp_tools import (
    FRESH_S,
    MOST_SCHEMA_CHARS,
    REST_S,
    RESULT_CHARS,
    UNREACHABLE,
    McpServer,
    McpServers,
)
from answerbox.tools import ForeignFailure, Tool, ToolError, WrongArguments
from tests.doubles import Clock, until
from tests.live import free_port
from tests.mcp_kit import SECRET, Desk, desk
from tests.threaded import in_thread

SOON_S = 30.0
HEADERS = {"X-API-Key": SECRET}


@pytest.fixture(scope="module")
def served() -> Iterator[Desk]:
    with desk() as double:
        yield double


def server(url: str, clock: Clock | None = None) -> McpServer:
    return McpServer("desk", url, HEADERS, 5.0, clock or Clock())


async def known(url: str) -> dict[str, Tool]:
    tools = await server(url).tools(SOON_S)
    assert tools is not None
    return {tool.spec.name.removeprefix("desk__"): tool for tool in tools}


async def test_tools_get_the_servers_name_and_those_that_do_not_say_that_they_read_have_side_effects(
    served: Desk,
) -> None:
    tools = await known(served.url)
    assert {name for name, tool in tools.items() if tool.side_effects} == {"open_ticket"}
    spec = tools["ticket"].spec
    assert (spec.name, spec.description) == ("desk__ticket", "The ticket of that number.")
    assert spec.parameters["properties"]["number"]["type"] == "integer"
    assert SECRET in served.keys


async def test_a_call_gives_the_text_and_arguments_are_held_to_the_schema_before_it_is_made(served: Desk) -> None:
    ticket = (await known(served.url))["ticket"]
    assert (await ticket.call({"number": 7})).startswith("Заявка 7: паром не пришёл.")
    made = len(served.calls)
    for wrong, word in (({}, "number"), ({"number": "seven"}, "number: 'seven'")):
        with pytest.raises(WrongArguments, match=word):
            await ticket.call(wrong)
    assert len(served.calls) == made


async def test_a_failure_is_the_servers_own_words_bounded(served: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ForeignFailure, match="broken"):
        await (await known(served.url))["broken"].call({})
    assert "the tool broken of the MCP server desk failed" in caplog.text
    assert len(await (await known(served.url))["everything"].call({})) == RESULT_CHARS


async def test_a_server_that_is_down_is_missing_rests_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    clock, port = Clock(), free_port()
    away = server(f"http://127.0.0.1:{port}/mcp", clock)
    with caplog.at_level(logging.WARNING):
        offer = await McpServers([away]).offer(SOON_S)
    assert (list(offer.tools), list(offer.missing)) == ([], ["desk"])
    assert "cannot be listed" in caplog.text
    assert SECRET not in caplog.text
    tried = len(caplog.records)
    assert await away.tools(SOON_S) is None
    assert len(caplog.records) == tried  # it rests
    clock.now += REST_S
    assert await away.tools(SOON_S) is None
    await until(lambda: len(caplog.records) > tried, SOON_S, "it is tried again")


async def test_a_server_that_comes_back_is_used_and_one_that_goes_is_noticed(served: Desk) -> None:
    clock = Clock()
    with desk() as other:
        mine = server(other.url, clock)
        tools = await mine.tools(SOON_S)
        assert tools
    clock.now += FRESH_S
    assert await mine.tools(SOON_S) is None
    [ticket] = [tool for tool in tools if tool.spec.name == "desk__ticket"]
    with pytest.raises(ToolError, match=UNREACHABLE):
        await ticket.call({"number": 1})
    mine._url = served.url
    clock.now += REST_S
    assert await mine.tools(SOON_S) is None  # nobody waits for it
    await until(lambda: mine._tools, SOON_S, "it is back")
    assert await mine.tools(SOON_S)


async def test_a_server_that_hangs_holds_nobody_up() -> None:
    async def hangs(scope: Any, *_: Any) -> None:
        if scope["type"] == "http":
            await asyncio.Event().wait()

    with in_thread(hangs, "hangs") as address:
        slow = server(f"{address}/mcp")
        assert await asyncio.wait_for(slow.tools(0.05), SOON_S) is None
        assert slow._listing is not None
        slow._listing.cancel()
        await until(lambda: slow._listing is None)


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("array", {"type": "array"}),
        ("wrong", {"type": "object", "properties": {"a": {"type": "nonsense"}}}),
        ("elsewhere", {"type": "object", "properties": {"a": {"$ref": "http://inside.example/schema"}}}),
        ("huge", {"type": "object", "description": "x" * MOST_SCHEMA_CHARS}),
        ("n" * 60, {"type": "object"}),
    ],
    ids=["array", "wrong", "elsewhere", "huge", "long-name"],
)
def test_a_tool_that_cannot_be_trusted_with_a_call_is_left_out(
    name: str, schema: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = ServedTool(name="a.b", description="d" * 5_000, input_schema={"type": "object"})
    found = server("http://nowhere.example/mcp")._known([ServedTool(name=name, input_schema=schema), good, good])
    assert [(tool.spec.name, len(tool.spec.description)) for tool in found] == [("desk__a_b", 1_024)]
    assert caplog.text.count("is left out") == 2


@pytest.mark.parametrize("keyword", ["additionalProperties", "unevaluatedProperties"])
async def test_an_expression_of_a_schema_is_not_run_here(keyword: str) -> None:
    slow = "^(a+)+$"
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": slow, "maxLength": 40}},
        "patternProperties": {slow: {"type": "string"}},
        keyword: False,
    }
    tool = server("http://nowhere.example/mcp")._known([ServedTool(name="t", input_schema=schema)])[0]
    with pytest.raises(WrongArguments, match=r"pattern: .*too long"):
        await tool.call({"pattern": "a" * 60 + "!", "a" * 60 + "!": 1})


async def test_a_parameter_may_be_named_like_a_keyword_and_unknown_ones_are_refused() -> None:
    schema = {"type": "object", "properties": {"pattern": {"type": "string"}}, "additionalProperties": False}
    tool = server("http://nowhere.example/mcp")._known([ServedTool(name="grep", input_schema=schema)])[0]
    with pytest.raises(WrongArguments, match="'other' was unexpected"):
        await tool.call({"pattern": "x", "other": 1})


@pytest.mark.parametrize(
    "answer", [b'{"x": "' + b"a" * MOST_BYTES + b'"}', gzip.compress(b"{}")], ids=["long", "packed"]
)
async def test_an_answer_without_a_bound_is_not_read(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    headers = [(b"content-type", b"application/json")]
    if answer.startswith(b"\x1f"):
        headers.append((b"content-encoding", b"gzip"))

    async def floods(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

    with in_thread(floods, "floods") as address, caplog.at_level(logging.WARNING):
        assert await server(f"{address}/mcp").tools(SOON_S) is None
    assert "the answer is" in caplog.text

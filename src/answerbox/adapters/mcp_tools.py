"""Tools of MCP servers (streamable HTTP, https://modelcontextprotocol.io) as tools of the agent.

A server is asked for its tools when a question needs them, and again after a while. Each call is a connection of its
own, so nothing is kept open and a server may restart. What a server says is somebody else's: its schemas are checked,
its texts are bounded, and of its failures only the model hears.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from answerbox.adapters.mcp_bounds import BoundedTransport
from answerbox.tools import ForeignFailure, Offer, Tool, ToolError, ToolSpec, WrongArguments

log = logging.getLogger(__name__)

FRESH_S = 60.0
"""So long a list of tools is believed."""
REST_S = 15.0
"""So long a server that could not be asked is left alone; then it is asked again, and no question waits for it."""
LIST_S = 10.0
"""Longest time to learn a server's tools."""
CONNECT_S = 5.0
MOST_TOOLS = 64
MOST_PAGES = 10
MOST_SCHEMA_CHARS = 16_000
DESCRIPTION_CHARS = 1_024
FAILURE_CHARS = 1_000
RESULT_CHARS = 64_000
"""Far more than a model is told; what is longer is not carried around."""
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
UNREACHABLE = "The server of this tool cannot be reached at the moment."


class McpServers:
    """A `ToolServers`. Their tools are named `server__tool`."""

    def __init__(self, servers: Sequence[McpServer]) -> None:
        self._servers = servers

    async def offer(self, within_s: float) -> Offer:
        found = await asyncio.gather(*(server.tools(within_s) for server in self._servers))
        missing = [server.name for server, tools in zip(self._servers, found, strict=True) if tools is None]
        return Offer([tool for tools in found for tool in tools or ()], missing)


class McpServer:
    def __init__(
        self,
        name: str,
        url: str,
        headers: dict[str, str],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`headers` are sent with each request; `timeout_s` is the longest silence while a tool works."""
        self.name = name
        self._url = url
        self._headers = headers
        self._timeout_s = timeout_s
        self._clock = clock
        self._mode = "auto"
        self._tools: list[Tool] | None = None
        self._down = False
        self._until = 0.0
        self._listing: asyncio.Task[None] | None = None

    async def tools(self, within_s: float) -> list[Tool] | None:
        """Those that are known; None where the server cannot be asked."""
        if self._listing is None and self._clock() >= self._until:
            self._listing = asyncio.create_task(self._list())
        if self._listing is not None and not self._down:  # of all questions; it goes on where one cannot wait
            await asyncio.wait({self._listing}, timeout=within_s)
        return self._tools

    async def _list(self) -> None:
        try:
            async with asyncio.timeout(LIST_S), self._connected() as client:
                found = await _listed(client)
                modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
                self._mode = client.protocol_version if modern else "legacy"
            if self._tools is None:
                log.info("the MCP server %s offers %d tools", self.name, len(found))
            self._tools, self._until, self._down = self._known(found), self._clock() + FRESH_S, False
        except Exception as exc:
            log.warning("the tools of the MCP server %s cannot be listed: %s", self.name, _said(exc))
            self._mode, self._tools, self._until, self._down = "auto", None, self._clock() + REST_S, True
        finally:
            self._listing = None

    def _known(self, found: Sequence[types.Tool]) -> list[Tool]:
        known: dict[str, Tool] = {}
        for tool in found[:MOST_TOOLS]:
            name = f"{self.name}__{re.sub('[^A-Za-z0-9_-]', '_', tool.name)}"
            reason = "its name is taken or too long" if name in known or not NAME.fullmatch(name) else _fault(tool)
            if reason:
                log.warning("a tool of the MCP server %s is left out, %r: %s", self.name, tool.name[:100], reason)
                continue
            known[name] = self._tool(name, tool)
        return list(known.values())

    def _tool(self, name: str, tool: types.Tool) -> Tool:
        check = Arguments(tool.input_schema)
        description = (tool.description or tool.title or tool.name)[:DESCRIPTION_CHARS]

        async def call(arguments: dict[str, Any]) -> str:
            if fault := best_match(check.iter_errors(arguments)):
                raise WrongArguments(_told(fault))
            return await self._call(tool.name, arguments)

        reads = tool.annotations is not None and tool.annotations.read_only_hint is True
        return Tool(ToolSpec(name, description, tool.input_schema), call, side_effects=not reads)

    async def _call(self, name: str, arguments: dict[str, Any]) -> str:
        """Once: whatever goes wrong, the tool may have done its work.

        Raises:
            ForeignFailure: the server or the tool says so.
            ToolError: the server cannot be reached.
        """
        params = types.CallToolRequestParams(name=name, arguments=arguments)
        try:
            async with self._connected() as client:
                result = await client.session.send_request(types.CallToolRequest(params=params), types.CallToolResult)
        except Exception as exc:
            log.warning("the tool %s of the MCP server %s failed: %s", name, self.name, _said(exc))
            cause = _cause(exc)
            if isinstance(cause, MCPError) and cause.code not in NO_ANSWER:
                raise ForeignFailure(cause.message[:FAILURE_CHARS]) from None
            self._until = 0.0  # asked again with the next question
            raise ToolError(UNREACHABLE) from None
        text = _text(result)
        if result.is_error:
            log.warning("the tool %s of the MCP server %s failed: %.200s", name, self.name, text)
            raise ForeignFailure(text[:FAILURE_CHARS] or "The tool failed.")
        return text[:RESULT_CHARS]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Client]:
        timeout = httpx2.Timeout(self._timeout_s, connect=CONNECT_S)
        async with httpx2.AsyncClient(headers=self._headers, timeout=timeout, transport=BoundedTransport()) as http:
            transport = streamable_http_client(self._url, http_client=http)
            async with Client(transport, mode=self._mode, cache=None) as client:
                yield client


NO_ANSWER = frozenset({types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT, types.PARSE_ERROR})
"""Codes that the SDK makes itself where the server did not answer."""


async def _listed(client: Client) -> list[types.Tool]:
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) >= MOST_TOOLS:
            break
    return found


def _fault(tool: types.Tool) -> str | None:
    """What is wrong with a tool's schema."""
    written = json.dumps(tool.input_schema)
    if len(written) > MOST_SCHEMA_CHARS:
        return f"its schema is longer than {MOST_SCHEMA_CHARS} characters"
    if tool.input_schema.get("type") != "object":
        return "its schema is none of an object"
    if re.search(r'"\$(?:dynamicR|r)ef": "[^#]', written):
        return "its schema refers to another one elsewhere"
    try:
        Draft202012Validator.check_schema(tool.input_schema)
    except SchemaError as exc:
        return f"its schema is wrong: {exc.message[:200]}"
    return None


def _pass(*_: Any) -> Iterator[ValidationError]:
    yield from ()


def _additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """What the usual check finds, which would run the expressions of `patternProperties`."""
    if "patternProperties" not in schema:
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, allowed, instance, schema)


Arguments = extend(
    Draft202012Validator,
    {
        "pattern": _pass,
        "patternProperties": _pass,
        "unevaluatedProperties": _pass,
        "additionalProperties": _additional,
    },
)
"""Holds arguments to a schema. Expressions are the server's to check: one of somebody else's may take for ever."""


def _told(fault: ValidationError) -> str:
    place = ".".join(map(str, fault.absolute_path)) or "arguments"
    return f"Wrong arguments. {place}: {fault.message[:300]}"


def _text(result: types.CallToolResult) -> str:
    """Texts as they are; what is none is named. Without any text, the structured result as JSON."""
    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        parts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return "\n".join(parts)


def _part(block: types.ContentBlock) -> str:
    if isinstance(block, types.TextContent):
        return block.text
    if isinstance(block, types.EmbeddedResource) and isinstance(block.resource, types.TextResourceContents):
        return block.resource.text
    if isinstance(block, types.ResourceLink):
        return f"[a link to {block.title or block.name}: {block.uri}]"
    return f"[left out: {block.type}]"


def _cause(exc: BaseException) -> BaseException:
    """What lies in groups of one."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc


def _said(exc: BaseException) -> str:
    cause = _cause(exc)
    return f"{type(cause).__name__}: {str(cause)[:200]}"

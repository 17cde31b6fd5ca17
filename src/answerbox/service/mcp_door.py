"""MCP's door (streamable HTTP, https://modelcontextprotocol.io): the pipelines and documents for clients that speak it.

Each POST is whole in itself. The id of a session is made and never kept, so any process of any replica answers, also
after a restart. What speaks the protocol is imported at the first request, in a thread: a second and 23 MiB.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from importlib import import_module
from typing import Any

import bentoml
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from answerbox.errors import Forbidden, RouteNotFound
from answerbox.service import exchange, problems
from answerbox.service.asgi import Message, Receive, Scope, Send
from answerbox.service.exchange import ClientGone, Exchange
from answerbox.service.friendly import friendly
from answerbox.service.mcp_running import Running
from answerbox.settings import Settings

SERVER = "answerbox.service.mcp_server"
SESSION = "mcp-session-id"
JSON, EVENTS = "application/json", "text/event-stream"
CANCEL = "notifications/cancelled"
PARSE_ERROR, INVALID_REQUEST = -32700, -32600
"""Of JSON-RPC 2.0."""
ONE_MESSAGE = "Send one JSON-RPC 2.0 message: an object with `jsonrpc`, `method` and, where an answer is wanted, `id`."


class McpDoor:
    """An ASGI app. The edge has let the request in and read its body."""

    def __init__(self) -> None:
        self._running = Running()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = WayOut(send, exchange.current.get())
        refused: Response | None = await self._served(Request(scope, receive), way)
        if refused is not None and not way.started:
            await refused(scope, receive, send)
        elif way.started and not way.ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    @friendly
    async def _served(self, request: Request, way: WayOut) -> Response | None:
        """The refusal; None where the protocol has answered."""
        this, settings = exchange.current.get(), bentoml.get_current_service().settings
        _check(request, settings)
        body = await request.body()
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return _error(PARSE_ERROR, "The body is not JSON.")
        if not _is_message(message):
            return _error(INVALID_REQUEST, ONE_MESSAGE)
        session, id_ = request.headers.get(SESSION), message.get("id")
        if message["method"] == CANCEL:
            self._running.cancel(this, session, _params(message).get("requestId"))
        if message["method"] == "initialize":
            way.session = uuid.uuid4().hex
        streams = _wants_progress(message) and EVENTS in request.headers.get("accept", "")
        if streams:
            this.takes_stream()
        server = await asyncio.to_thread(import_module, SERVER)
        with self._running.hold(this, session, id_):
            await server.serve(_inner(request.scope), _again(body, request.receive), way.send, settings, streams)
        return None


class WayOut:
    """Sends on what the protocol answers, so marked that the edge takes its failures for final ones.

    A client that takes nothing of it counts as one that has hung up: the SDK listens for that.
    """

    def __init__(self, send: Send, this: Exchange) -> None:
        self._send = send
        self._this = this
        self.session: str | None = None
        self.started = False
        self.ended = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            if message["status"] >= 400:
                headers[problems.MARK] = "1"
            elif self.session:
                headers[SESSION] = self.session
            message = {**message, "headers": headers.raw}
        elif not message.get("more_body"):
            self.ended = True
        try:
            await self._send(message)
        except ClientGone:
            self._this.gone = True
            self._this.disconnected.set()


def _check(request: Request, settings: Settings) -> None:
    """Raises: RouteNotFound where it is off; Forbidden for a page that is not one of those that may call.

    A browser says from where a page comes, also a page that has taken on the service's name (DNS rebinding).
    """
    if not settings.mcp:
        raise RouteNotFound("There is no path '/mcp'.", hint="The operator has switched it off (ANSWERBOX_MCP).")
    origin = request.headers.get("origin")
    if origin is not None and not {origin, "*"} & set(settings.cors_origins):
        raise Forbidden("Pages of this origin may not call.", hint="See ANSWERBOX_CORS_ORIGINS.")


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return False
    id_ = message.get("id", 0)
    return isinstance(id_, str | int) and not isinstance(id_, bool) and isinstance(message.get("params", {}), dict)


def _params(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = message.get("params", {})
    return found


def _wants_progress(message: dict[str, Any]) -> bool:
    meta = _params(message).get("_meta")
    return isinstance(meta, dict) and isinstance(meta.get("progressToken"), str | int)


def _error(code: int, text: str) -> Response:
    content = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": text}}
    return JSONResponse(content, 400, {problems.MARK: "1"})


def _inner(scope: Scope) -> Scope:
    """With the media types that the SDK insists on: which of them it answers with has been chosen here."""
    inner = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=inner)
    headers["accept"], headers["content-type"] = f"{JSON}, {EVENTS}", JSON
    return inner


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, which has been read, and then what follows."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message

"""One HTTP request in raw ASGI messages, and a small app that answers it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Literal

from answerbox.service import exchange
from answerbox.service.problems import MEDIA_TYPE
from tests.doubles import turn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Call:
    """A request, what its client hears, and how much of its body was read.

    `leave` says when the client hangs up; else it stays until the end. One that `stalls` sends a part of its body and
    no more; a `deaf` one takes nothing of the answer but its head.
    """

    def __init__(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        parts: Sequence[bytes] | None = None,
        headers: dict[str, str] | None = None,
        leave: Literal["in-body", "after-body"] | None = None,
        stalls: bool = False,
        deaf: bool = False,
    ) -> None:
        pairs = [(name.encode(), value.encode("utf-8")) for name, value in (headers or {}).items()]
        self._scope = {"type": "http", "method": method, "path": path, "headers": pairs}
        self._parts = list(parts if parts is not None else [body])
        self._leave = leave
        self._stalls = stalls
        self._deaf = deaf
        self.received = 0
        self.sent: list[Message] = []

    async def run(self, app: App) -> None:
        await app(self._scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self.received < len(self._parts):
            part = self._parts[self.received]
            self.received += 1
            more = self.received < len(self._parts) or self._leave == "in-body" or self._stalls
            return {"type": "http.request", "body": part, "more_body": more}
        if self._leave is None:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._deaf and message["type"] == "http.response.body":
            await asyncio.Event().wait()
        self.sent.append(message)

    @property
    def status(self) -> int:
        [start] = [message for message in self.sent if message["type"] == "http.response.start"]
        return int(start["status"])

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        return list(self.sent[0]["headers"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.raw_headers}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    def problem(self) -> dict[str, Any]:
        """The problem document, which must have the one shape."""
        assert self.headers["content-type"] == MEDIA_TYPE
        problem: dict[str, Any] = json.loads(self.body)
        assert {"type", "title", "status", "detail", "instance", "code", "request_id", "retryable"} <= set(problem)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return problem


class Inner:
    """Reads the body and answers; remembers what it saw."""

    def __init__(
        self, status: int = 200, body: bytes = b"{}", headers: dict[str, str] | None = None, parts: int = 1
    ) -> None:
        self._status, self._body, self._parts = status, body, parts
        self._headers = {"content-type": "application/json", **(headers or {})}
        self.bodies: list[bytes] = []
        self.gone: list[bool] = []
        self.request_ids: list[str] = []
        self.seen: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        this = exchange.current.get()
        self.request_ids.append(this.request_id)
        self.seen.append((scope["path"], this.path_values))
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await turn(this.disconnected)
        self.gone.append(this.disconnected.is_set())
        headers = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        size = -(-len(self._body) // self._parts) or 1
        for number in range(self._parts):
            part = self._body[number * size : (number + 1) * size]
            await send({"type": "http.response.body", "body": part, "more_body": number + 1 < self._parts})

"""A server that answers as it is told, badly where that is wanted, and the two clients behind one face."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any, Literal, Protocol

from answerbox.client import AsyncClient, Client
from answerbox.contracts import Event, LlmMeta, LlmResponse
from tests.live import wait_until

End = Literal["well", "cut", "held", "silent"]
SSE = {"Content-Type": "text/event-stream"}


@dataclass(frozen=True)
class Reply:
    """`chunks` make it a stream. It ends `well`, is `cut` off, or is `held` until the client hangs up; a `silent` one
    says nothing at all and waits for that too. `lost`: the connection closes without an answer."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Sequence[bytes] | None = None
    end: End = "well"
    lost: bool = False


@dataclass(frozen=True)
class Asked:
    """The names of `headers` are in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Script:
    """`replies` are given in turn. `gone`: how many clients hung up where the script waits for it."""

    url: str
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    gone: int = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = Script(f"http://127.0.0.1:{self.server_address[1]}")

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may hang up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        script = self.server.script
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        script.asked.append(Asked(self.command, self.path, headers, body))
        reply = script.replies.pop(0)
        self.close_connection = reply.lost or reply.end != "well"
        if reply.end == "silent":
            self._wait_until_gone()
        elif reply.chunks is not None:
            self._stream(reply, reply.chunks)
        elif not reply.lost:
            self._answer(reply)

    do_GET = do_DELETE = do_POST

    def _answer(self, reply: Reply) -> None:
        raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self._head(reply, {} if reply.status == 204 else {"Content-Length": str(len(raw))})
        self.wfile.write(b"" if reply.status == 204 else raw)

    def _stream(self, reply: Reply, chunks: Sequence[bytes]) -> None:
        with suppress(ConnectionError):  # a client may leave at any time
            self._head(reply, {"Transfer-Encoding": "chunked"})
            for chunk in chunks:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if reply.end == "well":
                self.wfile.write(b"0\r\n\r\n")
        if reply.end == "held":
            self._wait_until_gone()

    def _head(self, reply: Reply, more: Mapping[str, str]) -> None:
        self.send_response(reply.status)
        for name, value in {**reply.headers, **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def _wait_until_gone(self) -> None:
        with suppress(ConnectionError):
            assert not self.connection.recv(1), "the client goes on talking"
        self.server.script.gone += 1

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        assert code, size


@contextmanager
def scripted() -> Iterator[Script]:
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Caller(Protocol):
    """Calls a method of a client that it makes with these options."""

    def call(self, method: str, *given: Any, **fields: Any) -> Any: ...

    def events(self, method: str, *given: Any, take: int | None = None, **fields: Any) -> list[Event]:
        """Those of a stream; after `take` of them it is closed."""
        ...


@dataclass
class Blocking:
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def call(self, method: str, *given: Any, **fields: Any) -> Any:
        with Client(self.url, **self.options) as client:
            return getattr(client, method)(*given, **fields)

    def events(self, method: str, *given: Any, take: int | None = None, **fields: Any) -> list[Event]:
        with Client(self.url, **self.options) as client, getattr(client, method)(*given, **fields) as events:
            return list(islice(events, take))


@dataclass
class Asyncio:
    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def call(self, method: str, *given: Any, **fields: Any) -> Any:
        async def run() -> Any:
            async with AsyncClient(self.url, **self.options) as client:
                return await getattr(client, method)(*given, **fields)

        return asyncio.run(run())

    def events(self, method: str, *given: Any, take: int | None = None, **fields: Any) -> list[Event]:
        async def run() -> list[Event]:
            found: list[Event] = []
            async with (
                AsyncClient(self.url, **self.options) as client,
                getattr(client, method)(*given, **fields) as events,
            ):
                async for event in events:
                    found.append(event)
                    if len(found) == take:
                        break
            return found

        return asyncio.run(run())


CALLERS = (Blocking, Asyncio)


def answer(text: str = "Paris.") -> LlmResponse:
    meta = LlmMeta(request_id="request-1", pipeline="llm", model="double", finish_reason="stop", latency_ms=1)
    return LlmResponse(answer=text, meta=meta)


def frame(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def done(text: str = "Paris.") -> bytes:
    return frame("done", {"response": answer(text).model_dump()})


def stream(*frames: bytes, end: End = "well") -> Reply:
    return Reply(headers=SSE, chunks=frames, end=end)


def wait_until_gone(script: Script) -> None:
    wait_until(lambda: script.gone == 1, 20, "the client has hung up")

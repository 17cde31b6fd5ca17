"""Takes the place of Langfuse, or of any backend that takes OTLP: real HTTP on a free port, and it can misbehave.

    with otlp_receiver() as receiver:
        ...  # traces go to receiver.url
        [root] = receiver.traces()[trace_id]
        receiver.mode = "hang"

`mode` is `ok`, `slow:SECONDS`, `hang`, `status:CODE`, `retryafter:SECONDS` (with 429) or `rejected` (as Langfuse says
that it does not take a score); `modes` are those of single paths, `first` those of the next requests. A request is
recorded before the mode acts, so attempts that fail can be seen too. `spans`, `traces`, `taken_scores` and `datasets`
hold only what was taken.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.langfuse_datasets import Datasets
from tests.live import wait_until

Answer = Callable[[], tuple[int, bytes]]

PROJECT = {"id": "project-1", "name": "test", "metadata": {}, "organization": {"id": "o1", "name": "test"}}
PROTOBUF = "application/x-protobuf"


@dataclass
class Span:
    """`status` is OTLP's code (2: error) and its message; an id is hex, and `parent_id` empty without one."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    status: tuple[int, str]
    events: list[str]
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: tuple[str, str]
    children: list[Span] = field(default_factory=list)

    def walk(self) -> Iterator[Span]:
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    spans: list[Span] = field(default_factory=list)
    body: Any = None
    taken: bool = False


@dataclass
class Receiver:
    url: str = ""
    mode: str = "ok"
    modes: dict[str, str] = field(default_factory=dict)
    """By the beginning of the path."""
    first: list[str] = field(default_factory=list)
    datasets: Datasets = field(default_factory=Datasets)
    prompts: dict[str, str] = field(default_factory=dict)
    """Texts by name; a name that is not there is not found."""
    prompt_version: int = 1
    readable: bool = True
    """Whether there are routes to read traces back."""
    refused: set[str] = field(default_factory=set)
    """Ids of scores that are answered with 400 in any mode."""
    requests: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def spans(self) -> list[Span]:
        return [span for request in self.requests if request.taken for span in request.spans]

    @property
    def exports(self) -> list[Received]:
        return [request for request in self.requests if request.spans]

    @property
    def scores(self) -> list[Any]:
        return [score for request in self.requests for score in _scores(request)]

    @property
    def taken_scores(self) -> list[Any]:
        return [score for request in self.requests if request.taken for score in _scores(request)]

    def traces(self) -> dict[str, list[Span]]:
        """By trace id: the spans whose parent did not come, with their children in the order of their beginning."""
        spans = {span.span_id: span for span in self.spans}
        for span in spans.values():
            span.children = []
        roots: dict[str, list[Span]] = {}
        for span in sorted(spans.values(), key=lambda each: each.start_ns):
            siblings = (
                spans[span.parent_id].children if span.parent_id in spans else roots.setdefault(span.trace_id, [])
            )
            siblings.append(span)
        return roots

    def wait_for_spans(self, count: int, limit_s: float = 10.0) -> list[Span]:
        wait_until(lambda: len(self.spans) >= count, limit_s, f"{count} spans are there")
        return self.spans


def _scores(request: Received) -> list[Any]:
    if not request.path.startswith("/api/public/scores") or request.body is None:
        return []
    return request.body if isinstance(request.body, list) else [request.body]


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Bound(_Handler):
        def __init__(self, *args: Any) -> None:
            self.receiver = receiver
            super().__init__(*args)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    server.block_on_close = False
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        received = self._record()
        if self.path.endswith("/v1/traces"):
            received.spans = decoded(body)
            self._take(received, lambda: (200, ExportTraceServiceResponse().SerializeToString()), PROTOBUF)
        else:
            received.body = json.loads(body or b"null")
            if any(score.get("id") in self.receiver.refused for score in _scores(received)):
                self._reply(400, b'{"message":"not this one"}', "application/json")
                return
            self._take(received, lambda: self._posted(received.body))

    def do_GET(self) -> None:
        self._take(self._record(), lambda: _json(*self._answer(urlsplit(self.path).path)))

    def _posted(self, body: Any) -> tuple[int, bytes]:
        found = self.receiver.datasets.posted(urlsplit(self.path).path, body)
        return _json(*found) if found else (200, b'{"id":"x"}')

    def _answer(self, path: str) -> tuple[int, Any]:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if answer := self.receiver.datasets.got(path, query):
            return answer
        _, prompt, name = path.partition("/api/public/v2/prompts/")
        if prompt:
            return self._prompt(unquote(name))
        if path == "/api/public/projects":
            return 200, {"data": [PROJECT]}
        if self.receiver.readable and path == "/api/public/v2/observations":
            wanted = query.get("traceId", "")
            return 200, {"data": [{"id": span.span_id} for span in self.receiver.spans if span.trace_id == wanted]}
        _, found, trace_id = path.partition("/api/public/traces/")
        if self.receiver.readable and found:
            there = trace_id in self.receiver.traces()
            return (200, {"id": trace_id}) if there else (404, {"message": f"Trace {trace_id} not found"})
        return 404, {}

    def _prompt(self, name: str) -> tuple[int, Any]:
        text = self.receiver.prompts.get(name)
        if text is None:
            return 404, {"message": "not found"}
        prompt = {"type": "text", "name": name, "version": self.receiver.prompt_version, "prompt": text}
        return 200, {**prompt, "config": {}, "labels": ["production"], "tags": []}

    def _record(self) -> Received:
        received = Received(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        self.receiver.requests.append(received)
        return received

    def _take(self, received: Received, answer: Answer, kind: str = "application/json") -> None:
        name, _, argument = self._mode().partition(":")
        if name in ("slow", "hang"):
            self.receiver.released.wait(float(argument) if name == "slow" else None)
        if name == "hang":
            return
        if name == "status":
            self._reply(int(argument), b'{"message":"test"}', "application/json")
        elif name == "retryafter":
            self._reply(429, b"{}", "application/json", [("Retry-After", argument)])
        elif name == "rejected":
            self._reply(207, b'{"accepted":0,"rejected":1,"errors":[{"message":"test"}]}', "application/json")
        else:
            status, body = answer()
            received.taken = status == 200
            self._reply(status, body, kind)

    def _mode(self) -> str:
        if self.receiver.first:
            return self.receiver.first.pop(0)
        own = (mode for path, mode in self.receiver.modes.items() if self.path.startswith(path))
        return next(own, self.receiver.mode)

    def _reply(self, status: int, body: bytes, kind: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        with suppress(OSError):  # a client that has given up
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{self.receiver.url}/elsewhere")
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)


def _json(status: int, answer: Any) -> tuple[int, bytes]:
    return status, json.dumps(answer).encode()


def decoded(body: bytes) -> list[Span]:
    """The spans of an OTLP request in protobuf: https://opentelemetry.io/docs/specs/otlp/"""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Span(
            name=span.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=span.kind,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            status=(span.status.code, span.status.message),
            events=[event.name for event in span.events],
            attributes=_attributes(span.attributes),
            resource=_attributes(of_resource.resource.attributes),
            scope=(of_scope.scope.name, of_scope.scope.version),
        )
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    ]


def _attributes(items: Any) -> dict[str, Any]:
    return {item.key: _plain(item.value) for item in items}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None

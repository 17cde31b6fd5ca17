"""A small server that speaks the contract, for `answerbox eval`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from answerbox.contracts import Health, Job, JobError, LlmRequest, RagRequest, SearchRequest
from answerbox.errors import AnswerboxError
from answerbox.traces import trace_of
from tests.unit.evaluation.kit import MemoryDoor, good_door


@dataclass
class Stub:
    """What the server has been given, and what it answers with."""

    door: MemoryDoor
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexed: list[str] = field(default_factory=list)
    errors: list[dict[str, str]] = field(default_factory=list)
    strange: bool = False
    stuck: frozenset[str] = frozenset()

    def answer(self, method: str, path: str, body: Any, traceparent: str) -> tuple[int, Any]:
        trace_id = trace_of("rag_query", "request-1", traceparent).trace_id
        if path == "/health":
            return 200, Health(status="ok", version="9", models={"generator": "double"}, dependencies={}).model_dump()
        if path == "/documents":
            for document in body["documents"]:
                self.documents[document["id"]] = document
                self.indexed.append(document["id"])
            return 202, self._job(finished=False)
        if path.startswith("/jobs/"):
            return 200, self._job(finished=True)
        if method == "DELETE":
            return self._remove(unquote(path.removeprefix("/documents/")))
        if self.strange:
            return 200, {"unheard": "of"}
        try:
            if path == "/search":
                return 200, self.door.search(SearchRequest.model_validate(body)).model_dump()
            if path == "/llm_query":
                return 200, self.door.ask_alone(LlmRequest.model_validate(body)).model_dump()
            answered = self.door.ask(RagRequest.model_validate(body)).model_dump()
        except AnswerboxError as exc:
            return 503, {"code": exc.code, "detail": exc.message, "trace_id": trace_id}
        answered["meta"]["trace_id"] = trace_id
        return 200, answered

    def _job(self, finished: bool) -> dict[str, Any]:
        return Job(
            job_id="j",
            status="succeeded" if finished else "running",
            stage="ended" if finished else "indexing",
            done=len(self.indexed) if finished else 0,
            total=len(self.indexed),
            errors=[JobError.model_validate(error) for error in self.errors],
            created_at="then",
            finished_at="now" if finished else None,
        ).model_dump()

    def _remove(self, id_: str) -> tuple[int, Any]:
        if id_ in self.stuck:
            return 503, {"code": "index_unavailable", "detail": "The index is away."}
        id_, _, owner = id_.partition("?user_id=")
        found = self.documents.pop(id_, None)
        assert not found or found.get("user_id", "") == owner
        return (204, None) if found else (404, {"code": "document_not_found", "detail": "There is none."})


@dataclass
class Served:
    url: str
    stub: Stub


@contextmanager
def serving() -> Iterator[Served]:
    stub = Stub(good_door())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, data = stub.answer(self.command, self.path, body, self.headers.get("traceparent", ""))
            raw = b"" if data is None else json.dumps(data).encode()
            self.send_response(status)
            if raw:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_DELETE = handle_any

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            assert code, size

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_address[1]}", stub)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

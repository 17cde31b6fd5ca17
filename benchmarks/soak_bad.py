"""Requests that break a rule, each with the status and the code that it must be answered with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Bad:
    method: str
    path: str
    status: int
    code: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body[:60]!r}"


def _refused(path: str, **body: Any) -> Bad:
    return Bad("POST", path, 422, "invalid_request", json.dumps(body).encode(), JSON)


def _questions(path: str) -> Iterator[Bad]:
    yield _refused(path, question="")
    yield _refused(path, question=7)
    yield _refused(path)
    yield _refused(path, question="x", colour="red")
    yield _refused(path, question="x" * 9_000)
    yield _refused(path, question="x", options={"temperature": 9})
    yield _refused(path, question="x", options={"temperature": float("nan")})
    yield _refused(path, question="x", options={"beams": 4})
    yield _refused(path, question="x", options={"max_tokens": 0})
    yield Bad("POST", path, 422, "invalid_request", b'{"question": "x"}', {**JSON, "X-Request-Timeout": "soon"})
    yield Bad("POST", path, 400, "malformed_body", b"{", JSON)
    yield Bad("POST", path, 400, "malformed_body", b'{"question": "\xff"}', JSON)
    yield Bad("POST", path, 415, "unsupported_media_type", b"question=x", {"Content-Type": "text/plain"})
    yield Bad("GET", path, 405, "method_not_allowed")


def _others() -> Iterator[Bad]:
    yield Bad("POST", "/llm_query", 413, "payload_too_large", b'"' + b"x" * (9 * 2**20) + b'"', JSON)
    yield _refused("/search", query="")
    yield _refused("/search", query="x", top_k=0)
    yield _refused("/search", query="x", top_k="many")
    yield _refused("/documents", documents=[])
    yield _refused("/documents", documents=[{"id": "bad", "text": 3}])
    yield _refused("/documents", documents=[{"id": "bad", "text": "x", "colour": "red"}])
    yield Bad("GET", "/documents/nobody", 404, "document_not_found")
    yield Bad("DELETE", "/documents/nobody", 404, "document_not_found")
    yield Bad("GET", "/jobs/nobody", 404, "job_not_found")
    yield Bad("DELETE", "/requests/nobody", 404, "request_not_found")
    yield Bad("GET", "/nowhere", 404, "route_not_found")
    yield Bad("PUT", "/health", 405, "method_not_allowed")


BAD = (
    *_questions("/llm_query"),
    *_questions("/llm_query/stream"),
    *_questions("/rag_query"),
    *_questions("/rag_query/stream"),
    *_others(),
)

"""The clients of `faults.py`: what they ask, and in a few words what they were told."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import httpx
from tests.live import events
from tests.load import QUERY, Ask

DEADLINE_S = 50.0
SPARE_TOKENS, FEW_TOKENS = 50, 20

HALF = "half an answer sold as whole"
SHORT = "cut by the deadline, and said so"


def problem(answer: httpx.Response) -> str:
    """Status and code of a failure, which must have the one shape."""
    try:
        document = answer.json()
        shape = f"{document['status']} {document['code']}"
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code} without a problem document"
    if document["status"] in (429, 503) and "retry-after" not in answer.headers:
        return f"{shape} without Retry-After"
    return shape


def searching(client: httpx.Client) -> str:
    answer = client.post("/search", json=QUERY)
    if answer.is_error:
        return problem(answer)
    return "degraded" if answer.json()["degraded"] else "200"


def questions(question: str, whole: str | None, timeout_s: float = DEADLINE_S) -> Ask:
    """Every second question as a stream. `whole`: the answer that is all of it; None where that is not known."""
    tokens = len(whole.split()) + SPARE_TOKENS if whole else FEW_TOKENS
    body = {"question": question, "options": {"max_tokens": tokens}}
    headers = {"X-Request-Timeout": str(timeout_s)}
    turns = itertools.count()

    def ask(client: httpx.Client) -> str:
        if next(turns) % 2:
            answer = client.post("/llm_query", json=body, headers=headers)
            return problem(answer) if answer.is_error else _judged(answer.json(), whole, "200")
        with client.stream("POST", "/llm_query/stream", json=body, headers=headers) as answer:
            if answer.is_error:
                answer.read()
                return problem(answer)
            return _streamed(answer, whole)

    return ask


def _streamed(answer: httpx.Response, whole: str | None) -> str:
    name, data = "", dict[str, Any]()
    with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
        for name, data in events(answer):  # noqa: B007
            pass
    if name == "error":
        return f"error {data['problem']['code']}"
    return _judged(data["response"], whole, "done") if name == "done" else "cut off"


def _judged(response: dict[str, Any], whole: str | None, well: str) -> str:
    if response["meta"]["finish_reason"] == "deadline":
        return SHORT
    return well if whole in (None, response["answer"]) else HALF

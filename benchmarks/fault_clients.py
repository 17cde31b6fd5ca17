"""The clients of `faults.py`: what they ask, and in a few words what they were told."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
from tests.live import Live
from tests.load import CLIENTS, QUERY

from answerbox.cli.client import events

PATIENCE_S, DEADLINE_S = 60.0, 50.0
SPARE_TOKENS, FEW_TOKENS = 50, 20

Ask = Callable[[httpx.Client], str]
"""Sends a request and says in a few words what came."""

HALF = "half an answer sold as whole"
SHORT = "cut by the deadline, and said so"


class Crowd:
    """Eight clients that ask without a break; what they were told, how often, and the longest wait."""

    def __init__(self, live: Live, ask: Ask) -> None:
        self._live = live
        self._ask = ask
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]
        self._lock = threading.Lock()
        self.told: Counter[str] = Counter()
        self.slowest_s = 0.0

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)

    def forget(self) -> None:
        with self._lock:
            self.told.clear()
            self.slowest_s = 0.0

    def _work(self) -> None:
        with self._live.client(PATIENCE_S) as client:
            while not self._end.is_set():
                began = time.monotonic()
                said = told(lambda: self._ask(client))
                with self._lock:
                    self.told[said] += 1
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)


def told(ask: Callable[[], str]) -> str:
    """What `ask` says, or how the connection broke."""
    try:
        return ask()
    except httpx.HTTPError as exc:
        return type(exc).__name__


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
        for name, data in events(answer.iter_lines()):  # noqa: B007
            pass
    if name == "error":
        return f"error {data['problem']['code']}"
    return _judged(data["response"], whole, "done") if name == "done" else "cut off"


def _judged(response: dict[str, Any], whole: str | None, well: str) -> str:
    if response["meta"]["finish_reason"] == "deadline":
        return SHORT
    return well if whole in (None, response["answer"]) else HALF

"""`answerbox trace-check`: whether traces arrive where the settings say, and what to change where they do not."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from rich.console import Console

from answerbox.adapters.otlp_backend import Backend, Kind, Outcome, backends
from answerbox.adapters.trace_snapshot import Snapshot
from answerbox.adapters.trace_spans import SpanMaker, span_maker
from answerbox.settings import Settings, load_settings
from answerbox.traces import Trace, trace_of

WAIT_S = 30.0
"""Langfuse reads what it has taken later, usually within that time."""
POLL_S = 1.0
SEND_S = 5.0

NONE_SET = (
    "No backend is set, so nothing is traced. For Langfuse set LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY and, where it "
    "is not its European cloud, LANGFUSE_BASE_URL. For any other set OTEL_EXPORTER_OTLP_ENDPOINT, such as "
    "http://localhost:4318."
)
ADDRESS: dict[Kind, str] = {"Langfuse": "LANGFUSE_BASE_URL", "OTLP": "OTEL_EXPORTER_OTLP_ENDPOINT"}
LOCKED: dict[Kind, str] = {
    "Langfuse": "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY must be of one project, and of this address: each region "
    "of the cloud has its own.",
    "OTLP": "OTEL_EXPORTER_OTLP_HEADERS must have what the server asks for, such as Authorization=Bearer%20KEY.",
}
NOT_THERE: dict[Kind, str] = {
    "Langfuse": "LANGFUSE_BASE_URL is not Langfuse's address, or the server is older than v4.59.",
    "OTLP": "OTEL_EXPORTER_OTLP_ENDPOINT is wrong: nothing takes traces at /v1/traces below it.",
}
NO_READING = (400, 404, 405, 410, 501)


@dataclass(frozen=True)
class Found:
    right: bool
    text: str


def run(out: Console, wait_s: float = WAIT_S) -> int:
    """Shows what was found. Returns the exit code: 1 where something is wrong, else 0. Raises: SetupError."""
    settings = load_settings()
    right = True
    for found in examine(settings, wait_s):
        out.print(found.text, markup=False, highlight=False, soft_wrap=True)
        right = right and found.right
    return 0 if right else 1


def examine(settings: Settings, wait_s: float = WAIT_S) -> Iterator[Found]:
    """Sends one trace to each backend. Raises: SetupError."""
    maker = span_maker(settings)
    wanted = backends(settings, SEND_S)
    if bool(settings.langfuse_public_key) != bool(settings.langfuse_secret_key):
        yield Found(False, "Of LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY only one is set: Langfuse gets nothing.")
    elif not wanted:
        yield Found(False, NONE_SET)
    trace = _trace()
    for backend in wanted:
        outcome = _send(backend, maker, trace, settings.trace_content)
        yield _told(backend, outcome)
        if outcome.taken and backend.kind == "Langfuse":
            yield from _read_back(settings, trace.trace_id, wait_s)


def _trace() -> Trace:
    trace = trace_of("trace-check", uuid.uuid4().hex)
    trace.tags = ["trace-check"]
    with trace.step("answer", "generation") as step:
        step.input, step.output = "Do traces arrive?", "They do."
    trace.root.input, trace.root.output = step.input, step.output
    trace.end(200)
    return trace


def _send(backend: Backend, maker: SpanMaker, trace: Trace, content: bool) -> Outcome:
    try:
        return backend.export(maker.spans(Snapshot(trace, maker.chars, content).trace))
    finally:
        backend.close()


def _told(backend: Backend, outcome: Outcome) -> Found:
    who = f"{backend.kind} at {backend.place}"
    if outcome.taken:
        return Found(True, f"{who} has taken a trace (HTTP {outcome.status}).")
    what = f"answers HTTP {outcome.status}" if outcome.status else f"takes no trace: {outcome.failure}"
    return Found(False, f"{who} {what}. {_advice(backend.kind, outcome)}")


def _advice(kind: Kind, outcome: Outcome) -> str:
    address = ADDRESS[kind]
    if outcome.failure == "unreachable":
        return f"Does a server run there, and does its name resolve? {address} says where."
    if outcome.failure == "timeout":
        return f"There is no answer within {SEND_S:g} s: is {address} right, and does a firewall let you through?"
    if outcome.failure == "tls":
        return (
            f"Its certificate is not trusted, or {address} should begin with http://. REQUESTS_CA_BUNDLE names yours."
        )
    if outcome.failure == "redirected":
        return f"It sends you elsewhere: put that address into {address}, perhaps with https://."
    if outcome.status in (401, 403, 407):
        return LOCKED[kind]
    if outcome.status in (404, 405):
        return NOT_THERE[kind]
    if outcome.status == 429:
        return "It is busy, or a limit of your plan is reached."
    return "Its own log says why."


def _read_back(settings: Settings, trace_id: str, wait_s: float) -> Iterator[Found]:
    """Whether Langfuse shows what it has taken, and where."""
    with httpx.Client(base_url=settings.langfuse_base_url, auth=settings.langfuse_keys, timeout=SEND_S) as client:
        yield _shown(client, trace_id, wait_s)
        if project := _project(client):
            base = settings.langfuse_base_url.rstrip("/")
            yield Found(True, f"{base}/project/{project}/traces/{trace_id}")


def _shown(client: httpx.Client, trace_id: str, wait_s: float) -> Found:
    end = time.monotonic() + wait_s
    while True:
        readable, there = _look(client, trace_id)
        if there:
            return Found(True, "Langfuse shows it.")
        if not readable:
            return Found(True, "Whether Langfuse shows it cannot be seen: the server lets traces not be read.")
        if time.monotonic() > end:
            hint = "Does its worker run? Some servers show traces ten minutes later."
            return Found(False, f"Langfuse does not show it after {wait_s:g} s. {hint}")
        time.sleep(min(POLL_S, wait_s))


def _look(client: httpx.Client, trace_id: str) -> tuple[bool, bool]:
    """Whether traces can be read there, and whether this one was. The newer way shows traces sooner."""
    newer = _get(client, "/api/public/v2/observations", {"traceId": trace_id, "limit": "1"})
    if newer is None:
        return True, False
    if newer.status_code not in NO_READING:
        return True, newer.is_success and bool(_json(newer).get("data"))
    older = _get(client, f"/api/public/traces/{trace_id}", {})
    if older is None or older.is_success:
        return True, older is not None
    unknown = older.status_code == 404 and "message" in _json(older)  # an answer of Langfuse, not of a missing route
    return unknown or older.status_code not in NO_READING, False


def _project(client: httpx.Client) -> str | None:
    answer = _get(client, "/api/public/projects", {})
    projects = _json(answer).get("data") if answer is not None and answer.is_success else None
    return str(projects[0]["id"]) if projects else None


def _get(client: httpx.Client, path: str, query: dict[str, str]) -> httpx.Response | None:
    try:
        return client.get(path, params=query)
    except httpx.HTTPError:
        return None


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

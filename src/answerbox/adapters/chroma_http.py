"""Chroma's HTTP client with what it lacks: time limits, and a word for answers that a proxy gives.

It is built from its parts, because `chromadb.HttpClient` makes requests without a limit while it is constructed.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import httpx
from chromadb.api.fastapi import FastAPI
from chromadb.config import System
from chromadb.errors import InternalError
from tenacity import RetryCallState, Retrying, stop_before_delay, wait_random_exponential

from answerbox.adapters.chroma_collection import SealedSettings
from answerbox.adapters.chroma_errors import TRANSIENT, BusyServer, NoAccess
from answerbox.errors import SetupError

MAX_CONNECTIONS = 16
CONNECT_S = 2.0
SHORTEST_S = 0.05
PORTS = {"http": 8000, "https": 443}
BUSY = (429, 502, 503, 504)
CLOSED = (401, 403)

_deadline: ContextVar[float] = ContextVar("deadline")
T = TypeVar("T")


def server_api(url: str) -> Any:
    """Chroma's client of that server; no request is made. Its calls belong inside `patiently`.

    Raises:
        SetupError: the address cannot be used.
    """
    parts = _parts(url)
    settings = SealedSettings(
        anonymized_telemetry=False,
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=_base(parts),
        chroma_server_http_port=parts.port or PORTS[parts.scheme],
        chroma_server_ssl_enabled=parts.scheme == "https",
        chroma_server_ssl_verify=True,
        chroma_server_headers=_credentials(parts),
        chroma_http_max_connections=MAX_CONNECTIONS,
    )
    api = System(settings).instance(FastAPI)
    api._session.event_hooks = {"request": [_limit], "response": [_refuse]}
    return api


def hang_up(api: Any) -> None:
    api._session.close()


def patiently(work: Callable[[], T], budget_s: float) -> T:
    """What `work` returns, tried again after failures that pass, and all of it within the budget."""
    tries = Retrying(
        retry=_is_worth_another,
        stop=stop_before_delay(budget_s),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        reraise=True,
    )
    with _limited(budget_s):
        return tries(work)


def _is_worth_another(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, InternalError):  # mostly damage, which stays
        return state.attempt_number == 1
    return isinstance(error, TRANSIENT)


@contextmanager
def _limited(budget_s: float) -> Iterator[None]:
    token = _deadline.set(time.monotonic() + budget_s)
    try:
        yield
    finally:
        _deadline.reset(token)


def _limit(request: httpx.Request) -> None:
    left = max(_deadline.get() - time.monotonic(), SHORTEST_S)
    request.extensions["timeout"] = httpx.Timeout(left, connect=min(CONNECT_S, left)).as_dict()


def _refuse(response: httpx.Response) -> None:
    if response.status_code in BUSY:
        raise BusyServer(f"HTTP {response.status_code}")
    if response.status_code in CLOSED:
        raise NoAccess(f"HTTP {response.status_code}")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise SetupError(
            "The address of the Chroma server cannot be used.",
            hint="Write it as http://HOST:PORT or https://HOST, with nothing after a '?' or a '#'.",
        )
    return parts


def _base(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or PORTS[parts.scheme]}{parts.path.rstrip('/')}"


def _credentials(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

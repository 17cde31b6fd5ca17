"""A backend that takes spans as OTLP over HTTP: Langfuse, or any other one.

Formats: https://opentelemetry.io/docs/specs/otlp/#otlphttp and https://langfuse.com/integrations/native/opentelemetry
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from answerbox import __version__
from answerbox.adapters.batches import batches
from answerbox.settings import Settings

TIMEOUT_S = 3.0
"""Of one export, with the exporter's own repetitions (429, 502 to 504, no connection)."""
BATCH_SPANS = 512
BATCH_CHARS = 2**20
"""Langfuse refuses bodies of some megabytes; no character is longer than four bytes."""
LANGFUSE_PATH = "/api/public/otel/v1/traces"
OTLP_PATH = "/v1/traces"
LOUD = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.exporter.otlp.proto.common._internal")
"""Loggers with several lines for each failure, some with the texts of a trace in them."""

_exporting = threading.local()

Kind = Literal["Langfuse", "OTLP"]
Failure = Literal["refused", "redirected", "tls", "timeout", "unreachable", "unsendable"]


@dataclass(frozen=True)
class Outcome:
    """How an export ended. `status` is the HTTP status, None where there was no answer; `retry_after` its header."""

    taken: bool = False
    status: int | None = None
    failure: Failure | None = None
    retry_after: str = ""

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status else str(self.failure)


class Backend:
    """`place` is its address without what is secret. Used by one thread at a time."""

    def __init__(self, kind: Kind, endpoint: str, session: Session, timeout_s: float = TIMEOUT_S) -> None:
        self.kind = kind
        self.place = _place(endpoint)
        self._closed = False
        self._session = session
        self._exporter = OTLPSpanExporter(
            endpoint=endpoint, timeout=timeout_s, compression=Compression.Gzip, session=session
        )
        session.settle()
        _silence()

    def export(self, spans: Sequence[ReadableSpan]) -> Outcome:
        """Sends the spans; takes `TIMEOUT_S` where the server is slow. Blocking; never raises."""
        self._session.outcome = Outcome(failure="unsendable")
        _exporting.here = True
        try:
            taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            taken = False
        finally:
            _exporting.here = False
        return replace(self._session.outcome, taken=taken)

    def close(self) -> None:
        """Also ends the wait before a repetition."""
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


class Session(requests.Session):
    """Remembers how the last request ended, which the exporter does not tell."""

    outcome = Outcome()

    def settle(self) -> None:
        """Called once the exporter has put its own settings from the environment into the session."""

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.RequestException as exc:
            self.outcome = Outcome(failure=_failure(exc))
            raise
        self.outcome = Outcome(
            status=response.status_code,
            failure=None if response.ok else "refused",
            retry_after=response.headers.get("Retry-After", ""),
        )
        if 300 <= response.status_code < 400:  # the exporter would take it for a success
            self.outcome = replace(self.outcome, failure="redirected")
            raise requests.TooManyRedirects(response=response)
        return response


class LangfuseSession(Session):
    """With Langfuse's keys, and with nothing that `OTEL_EXPORTER_OTLP_*` has for another server."""

    def __init__(self, public_key: str, secret_key: str) -> None:
        super().__init__()
        self.auth = (public_key, secret_key)

    def settle(self) -> None:
        self.verify, self.cert = True, None

    def request(self, method: str, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs["headers"] = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "gzip",
            "User-Agent": f"answerbox/{__version__}",
            "x-langfuse-ingestion-version": "4",
        }
        return super().request(method, url, *args, **kwargs)


def backends(settings: Settings, timeout_s: float = TIMEOUT_S) -> list[Backend]:
    """Those that are set: none, one or both."""
    found = []
    if keys := settings.langfuse_keys:
        found.append(langfuse_backend(settings.langfuse_base_url, keys, timeout_s))
    if settings.otlp_endpoint:
        endpoint = settings.otlp_endpoint.rstrip("/").removesuffix(OTLP_PATH) + OTLP_PATH
        found.append(Backend("OTLP", endpoint, Session(), timeout_s))
    return found


def langfuse_backend(base_url: str, keys: tuple[str, str], timeout_s: float = TIMEOUT_S) -> Backend:
    """`keys`: the public and the secret one."""
    return Backend("Langfuse", base_url.rstrip("/") + LANGFUSE_PATH, LangfuseSession(*keys), timeout_s)


def span_batches(spans: Iterable[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    """As many at a time as a backend takes."""
    return batches(spans, _chars, BATCH_SPANS, BATCH_CHARS)


def _chars(span: ReadableSpan) -> int:
    return sum(len(value) for value in (span.attributes or {}).values() if isinstance(value, str))


def _place(url: str) -> str:
    """Without the name and password that an address may have."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _failure(exc: requests.RequestException) -> Failure:
    if isinstance(exc, requests.exceptions.SSLError):
        return "tls"
    return "timeout" if isinstance(exc, requests.Timeout) else "unreachable"


def _silence() -> None:
    for name in LOUD:
        logging.getLogger(name).addFilter(_is_of_others)


def _is_of_others(_: logging.LogRecord) -> bool:
    """BentoML may have an exporter of its own, whose failures are not told elsewhere."""
    return not getattr(_exporting, "here", False)

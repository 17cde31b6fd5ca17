"""What both clients share: where to call, how answers, events and problems are read, what a broken connection means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, get_args

import httpx
from httpx_sse import ServerSentEvent, SSEError
from pydantic import BaseModel, ValidationError

from answerbox.contracts import Event
from answerbox.errors import (
    AnswerboxError,
    BadUpstream,
    DeadlineExceeded,
    InvalidRequest,
    Unavailable,
    from_wire,
    tree,
)

ModelT = TypeVar("ModelT", bound=BaseModel)

DEFAULT_URL = "http://127.0.0.1:3000"
CONNECT_S = 5
VERSIONS = "Are the URL and the versions of client and service right?"
EVENTS: dict[str, type[Event]] = {cls.model_fields["event"].default: cls for cls in get_args(Event)}
TOLD = ("request_id", "trace_id")
"""Members of a problem that `extra` of its error has."""


def arguments(url: str | None, key: str | None, deadline_s: float | None, timeout_s: float) -> dict[str, Any]:
    """What httpx's clients are made with. Raises: InvalidRequest: the URL or the key is none."""
    key = (key or os.environ.get("ANSWERBOX_API_KEY") or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InvalidRequest("The API key has characters that no key has.")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if deadline_s is not None:
        headers["X-Request-Timeout"] = str(deadline_s)
    return {
        "base_url": _url(url or os.environ.get("ANSWERBOX_URL") or DEFAULT_URL),
        "headers": headers,
        "timeout": httpx.Timeout(timeout_s, connect=CONNECT_S),
    }


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
        if url.scheme in ("http", "https") and url.host:
            return url
    except httpx.InvalidURL:
        pass
    raise InvalidRequest(f"{text!r} is no URL of a service.", hint=f"It looks like {DEFAULT_URL}.")


def good(response: httpx.Response) -> bytes:
    """The body. Raises: AnswerboxError: the service's problem."""
    if response.is_success:
        return response.content
    raise problem(response)


def read(kind: type[ModelT], content: bytes | str) -> ModelT:
    """Fields of a later contract are passed over. Raises: BadUpstream."""
    try:
        return kind.model_validate_json(content, extra="ignore")
    except ValidationError as exc:
        first = str(exc).splitlines()[0]
        raise BadUpstream(f"The service's answer is not what the contract says: {first}.", hint=VERSIONS) from exc


def problem(response: httpx.Response) -> AnswerboxError:
    """A failure that the service told (RFC 9457), or one that something before it told in its own way."""
    try:
        data = response.json()
    except ValueError:
        data = None
    retry_after = response.headers.get("Retry-After")
    if isinstance(data, dict) and "code" in data:
        return error(data, retry_after)
    kind = Unavailable if response.status_code >= 500 else BadUpstream
    message = f"The service answered {response.status_code} without saying why."
    return kind(message, hint="Is the URL right?", extra=_extra({}, retry_after))


def error(data: dict[str, Any], retry_after: str | None = None) -> AnswerboxError:
    """The class of the problem's code, the tree's root where nobody knows the code.

    `extra` has `request_id` and `trace_id`, and `retry_after_s` in seconds, where they are known.
    """
    known = any(cls.code == data["code"] for cls in tree())
    told = {**data, "message": data.get("detail", ""), "extra": _extra(data, retry_after)}
    return from_wire(told if known else {**told, "code": AnswerboxError.code})


def _extra(data: dict[str, Any], retry_after: str | None) -> dict[str, Any]:
    extra = {name: data[name] for name in TOLD if data.get(name)}
    if retry_after and retry_after.isdecimal():
        extra["retry_after_s"] = int(retry_after)
    return extra


def event_of(sent: ServerSentEvent) -> Event | None:
    """The contract's event; None for one of a later contract.

    Raises:
        AnswerboxError: it is an `error` event.
        BadUpstream: it cannot be read.
    """
    if sent.event == "error":
        try:
            failure = error(json.loads(sent.data)["problem"])
        except (ValueError, LookupError, TypeError) as exc:
            raise BadUpstream("The stream ended in an error that cannot be read.", hint=VERSIONS) from exc
        raise failure
    kind = EVENTS.get(sent.event)
    return read(kind, sent.data) if kind else None


@contextmanager
def answering(url: httpx.URL) -> Iterator[None]:
    """Raises: Unavailable, DeadlineExceeded for what happens to the connection inside the block."""
    try:
        yield
    except httpx.ReadTimeout as exc:
        raise _silent() from exc
    except httpx.HTTPError as exc:
        raise Unavailable(
            f"There is no answer from {url} ({type(exc).__name__}).",
            hint="Is the service running? `make serve` starts it; ANSWERBOX_URL says where it is.",
        ) from exc


def broken(exc: httpx.HTTPError | None = None) -> AnswerboxError:
    """A stream that ended without `done` or `error`."""
    if isinstance(exc, httpx.ReadTimeout):
        return _silent()
    if isinstance(exc, SSEError):
        return BadUpstream("The service answered with something else than a stream.", hint=VERSIONS)
    return Unavailable("The answer broke off.", hint="Ask again.")


def _silent() -> DeadlineExceeded:
    return DeadlineExceeded("The service did not answer in time.", hint="Give the client a longer timeout_s.")

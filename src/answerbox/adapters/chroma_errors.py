"""What the errors of Chroma and of its HTTP client mean to us. All of them are an index that cannot be used.

The vendor's own words reach no caller: they may hold addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from chromadb.errors import (
    AuthorizationError,
    ChromaAuthError,
    ChromaError,
    InternalError,
    NotFoundError,
    RateLimitError,
)

from answerbox.errors import IndexUnavailable


class BusyServer(Exception):
    """The server, or a proxy before it, asks to try again later."""


class NoAccess(Exception):
    """The server, or a proxy before it, wants other credentials."""


WORDS: dict[type[BaseException], str] = {
    httpx.TimeoutException: "The vector index's server does not answer in time.",
    httpx.ConnectTimeout: "The vector index's server cannot be reached.",
    httpx.ConnectError: "The vector index's server cannot be reached.",
    httpx.HTTPError: "The connection to the vector index's server failed.",
    json.JSONDecodeError: "The vector index's server gave an answer that makes no sense.",
    BusyServer: "The vector index's server is busy.",
    RateLimitError: "The vector index's server is busy.",
    NoAccess: "The vector index's server does not let Answerbox in.",
    ChromaAuthError: "The vector index's server does not let Answerbox in.",
    AuthorizationError: "The vector index's server does not let Answerbox in.",
    InternalError: "The vector index failed on this request.",
    NotFoundError: "The vector index does not have this collection.",
    ChromaError: "The vector index refuses the request.",
}

TRANSIENT = (httpx.TransportError, BusyServer, RateLimitError)
"""Worth another attempt: all that we ask of Chroma may be asked twice."""


@contextmanager
def translating() -> Iterator[None]:
    """Whatever fails inside is raised as `IndexUnavailable`."""
    try:
        yield
    except IndexUnavailable:
        raise
    except BaseException as exc:
        if not isinstance(exc, Exception) and not _is_panic(exc):
            raise
        raise translated(exc) from exc


def translated(exc: BaseException) -> IndexUnavailable:
    words = next((WORDS[cls] for cls in type(exc).__mro__ if cls in WORDS), None)
    return IndexUnavailable(words or f"The vector index cannot be used: {type(exc).__name__}.")


def _is_panic(exc: BaseException) -> bool:
    """A panic of Rust code comes as a class that cannot be imported and is no `Exception`."""
    return type(exc).__name__ == "PanicException"

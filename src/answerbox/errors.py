"""Every way in which Answerbox fails, as one tree.

AnswerboxError
├── InvalidRequest            the request breaks the contract; `errors` says which fields and why
│   ├── MalformedBody         the body is not JSON
│   ├── UnsupportedMediaType  the body is declared as something else than JSON
│   ├── PayloadTooLarge       the body is longer than the limit
│   ├── BodyTimeout           the body did not come in time
│   └── PromptTooLong         the prompt does not fit the model's window
├── Unauthorized              no API key, or none that is known
├── Forbidden                 the key does not allow this, or speaks for another user
├── RateLimited               the key's bound on requests, tokens or requests at a time
├── NotFound
│   ├── RouteNotFound
│   ├── DocumentNotFound
│   ├── JobNotFound
│   ├── SessionNotFound       it has expired, belongs to somebody else, or there never was one
│   ├── NotServed             the path exists, but not in this service: the operator serves other pipelines
│   ├── RequestNotFound       it has ended, or there never was one of that id
│   └── ModelNotFound         no model of that name is served
├── MethodNotAllowed
├── Conflict                  the state does not allow it (a job that has ended cannot be cancelled)
├── Unavailable               a part is down or busy; the same request may succeed later
│   ├── NotReady              models are still loading
│   ├── Overloaded            too much work is waiting
│   ├── GeneratorUnavailable
│   ├── EmbedderUnavailable
│   ├── RerankerUnavailable
│   └── IndexUnavailable
│       └── StorageFull       no room on the disk of the documents
├── BadUpstream               a part answered, but not in a way that makes sense
├── DeadlineExceeded          the time of the request was up before there was an answer
├── SetupError                the machine or the settings are not fit to start; never leaves over HTTP
│   ├── ModelMissing
│   └── DataFolderBusy
└── InternalError             a bug

This module knows nothing of HTTP: the table from class to status is `service/problems.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class AnswerboxError(Exception):
    """Base of the tree. `code` is stable and part of the contract; `message` is for people.

    `hint` says what to change; `errors` lists single faults as `{"field", "message"}`;
    `extra` carries numbers that a program may want (such as `limit` and `actual`).
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        errors: list[dict[str, str]] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.errors = errors or []
        self.extra = extra or {}

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (from_wire, (self.to_wire(),))

    def to_wire(self) -> dict[str, Any]:
        """The error as JSON-able data, to cross a process; `from_wire` is the way back."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "errors": self.errors,
            "extra": self.extra,
        }


class InvalidRequest(AnswerboxError):
    code = "invalid_request"


class MalformedBody(InvalidRequest):
    code = "malformed_body"


class UnsupportedMediaType(InvalidRequest):
    code = "unsupported_media_type"


class PayloadTooLarge(InvalidRequest):
    code = "payload_too_large"


class BodyTimeout(InvalidRequest):
    code = "body_timeout"
    retryable = True


class PromptTooLong(InvalidRequest):
    """`extra` has `prompt_tokens` and `limit`, both in tokens of the model."""

    code = "prompt_too_long"


class Unauthorized(AnswerboxError):
    code = "unauthorized"


class Forbidden(AnswerboxError):
    code = "forbidden"


class RateLimited(AnswerboxError):
    """`extra["retry_after_s"]`: when there is room again, whole seconds; of a rate also `limit` and `remaining`."""

    code = "rate_limited"
    retryable = True


class NotFound(AnswerboxError):
    code = "not_found"


class RouteNotFound(NotFound):
    code = "route_not_found"


class NotServed(NotFound):
    code = "not_served"


class DocumentNotFound(NotFound):
    code = "document_not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class SessionNotFound(NotFound):
    code = "session_not_found"


class RequestNotFound(NotFound):
    code = "request_not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class MethodNotAllowed(AnswerboxError):
    """`extra["allow"]` lists the methods that the path has."""

    code = "method_not_allowed"


class Conflict(AnswerboxError):
    code = "conflict"


class Unavailable(AnswerboxError):
    code = "unavailable"
    retryable = True


class NotReady(Unavailable):
    code = "not_ready"


class Overloaded(Unavailable):
    """`extra["retry_after_s"]`: when there may be room, whole seconds."""

    code = "overloaded"


class GeneratorUnavailable(Unavailable):
    code = "generator_unavailable"


class EmbedderUnavailable(Unavailable):
    code = "embedder_unavailable"


class RerankerUnavailable(Unavailable):
    code = "reranker_unavailable"


class IndexUnavailable(Unavailable):
    code = "index_unavailable"


class StorageFull(IndexUnavailable):
    code = "storage_full"


class BadUpstream(AnswerboxError):
    code = "bad_upstream"
    retryable = True


class DeadlineExceeded(AnswerboxError):
    code = "deadline_exceeded"
    retryable = True


class SetupError(AnswerboxError):
    code = "setup"


class ModelMissing(SetupError):
    code = "model_missing"


class DataFolderBusy(SetupError):
    code = "data_folder_busy"


class InternalError(AnswerboxError):
    code = "internal"


def tree(root: type[AnswerboxError] = AnswerboxError) -> Iterator[type[AnswerboxError]]:
    """Every class of the tree, parents before children."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def from_wire(data: dict[str, Any]) -> AnswerboxError:
    """The error that `to_wire` wrote. A code that nobody knows becomes an `InternalError`."""
    for cls in tree():
        if cls.code == data.get("code"):
            return cls(
                str(data.get("message", "")),
                hint=data.get("hint"),
                errors=data.get("errors"),
                extra=data.get("extra"),
            )
    return InternalError(str(data.get("message", "unknown failure")))

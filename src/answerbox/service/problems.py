"""From a failure to its HTTP answer: the one table of statuses, and RFC 9457 problem details."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from answerbox import errors
from answerbox.contracts import Problem
from answerbox.errors import AnswerboxError
from answerbox.service import openai_problems
from answerbox.validation import ONE_OBJECT, invalid

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MARK = "x-answerbox-problem"
"""A header inside the service: this failure is in its final shape."""
RETRY_AFTER_S = 2

STATUS: dict[type[AnswerboxError], int] = {
    errors.AnswerboxError: 500,
    errors.InvalidRequest: 422,
    errors.MalformedBody: 400,
    errors.UnsupportedMediaType: 415,
    errors.PayloadTooLarge: 413,
    errors.BodyTimeout: 408,
    errors.PromptTooLong: 422,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.RateLimited: 429,
    errors.NotFound: 404,
    errors.RouteNotFound: 404,
    errors.NotServed: 404,
    errors.DocumentNotFound: 404,
    errors.JobNotFound: 404,
    errors.SessionNotFound: 404,
    errors.RequestNotFound: 404,
    errors.ModelNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.Unavailable: 503,
    errors.NotReady: 503,
    errors.Overloaded: 503,
    errors.GeneratorUnavailable: 503,
    errors.EmbedderUnavailable: 503,
    errors.RerankerUnavailable: 503,
    errors.IndexUnavailable: 503,
    errors.StorageFull: 507,
    errors.BadUpstream: 502,
    errors.DeadlineExceeded: 504,
    errors.SetupError: 500,
    errors.ModelMissing: 500,
    errors.DataFolderBusy: 500,
    errors.InternalError: 500,
}
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""As in RFC 9110; Python has these only since 3.13."""
INTERNAL_DETAIL = "Something went wrong in the service. Its log has the details under this request_id."


def status_of(error: AnswerboxError) -> int:
    """The status of the error's class, or of the nearest class above it that the table has."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def log_bug(error: AnswerboxError, request_id: str) -> None:
    """Logs what a 500 keeps from the caller, with its cause; other failures are told to the caller whole."""
    if status_of(error) == 500:
        log.error("request %s: %s", request_id, error.message, exc_info=error.__cause__)


def problem(error: AnswerboxError, request_id: str, path: str, trace_id: str | None = None) -> dict[str, Any]:
    """The problem document. A 500 says nothing of the inside."""
    status = status_of(error)
    inside = status == 500
    found = Problem(
        type=f"urn:answerbox:problem:{'internal' if inside else error.code}",
        title=TITLES.get(status) or HTTPStatus(status).phrase,
        status=status,
        detail=INTERNAL_DETAIL if inside else error.message,
        instance=path,
        code="internal" if inside else error.code,
        request_id=request_id,
        trace_id=trace_id,
        retryable=error.retryable,
        hint=None if inside else error.hint,
        errors=None if inside else (error.errors or None),
    )
    return found.model_dump(exclude_none=True)


def response(error: AnswerboxError, request_id: str, path: str, trace_id: str | None = None) -> JSONResponse:
    """The failure as the door that the path belongs to tells it."""
    document = problem(error, request_id, path, trace_id)
    headers = {}
    if document["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="answerbox"'
    if document["status"] in (429, 503):
        headers["Retry-After"] = str(error.extra.get("retry_after_s", RETRY_AFTER_S))
    if allow := error.extra.get("allow"):
        headers["Allow"] = ", ".join(allow)
    if openai_problems.is_openai(path):
        status = openai_problems.status_of(document)
        headers[MARK] = "1"
        return JSONResponse(openai_problems.error_of(document), status_code=status, headers=headers)
    return JSONResponse(document, status_code=document["status"], media_type=MEDIA_TYPE, headers=headers)


def from_framework(status: int, body: bytes) -> AnswerboxError:
    """What BentoML or Starlette answered by itself, as an error of ours."""
    if status == 400:
        return _invalid(body)
    if status in (404, 405):
        return errors.RouteNotFound("There is no such path.")
    if status == 415:
        return errors.UnsupportedMediaType("The body must be JSON.", hint="Send Content-Type: application/json.")
    if status in (429, 503):
        return errors.NotReady("The service is not ready.", hint="Try again in a few seconds.")
    if status == 504:
        return errors.DeadlineExceeded("There was no answer in time.")
    return errors.InternalError("The framework answered " + str(status))


def _invalid(body: bytes) -> AnswerboxError:
    """BentoML's 400: `{"error", "detail": [pydantic's errors]}`."""
    try:
        return invalid(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return errors.MalformedBody("The body is not JSON.", hint=ONE_OBJECT)

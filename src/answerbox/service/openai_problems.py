"""Failures in the shape of OpenAI's protocol, made from the problem documents."""

from __future__ import annotations

from typing import Any

PREFIX = "/v1/"
STATUS = {422: 400}
"""OpenAI's servers answer 400 where ours tell of a broken contract; clients look for that."""
CODES = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "prompt_too_long": "context_length_exceeded",
}
"""Those that clients know by other names; all others are ours."""
TYPES = {403: "permission_error", 429: "rate_limit_error"}


def is_openai(path: str) -> bool:
    return path.startswith(PREFIX)


def status_of(problem: dict[str, Any]) -> int:
    status: int = problem["status"]
    return STATUS.get(status, status)


def error_of(problem: dict[str, Any]) -> dict[str, Any]:
    """`{"error": {message, type, param, code}}`; `param` is the first field that is wrong."""
    status, faults = problem["status"], problem.get("errors")
    told = [problem["detail"], problem.get("hint")]
    error = {
        "message": " ".join(text for text in told if text),
        "type": TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": faults[0]["field"] if faults else None,
        "code": CODES.get(problem["code"], problem["code"]),
    }
    return {"error": error}

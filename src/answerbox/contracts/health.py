"""How the service is, and what a failure looks like over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from answerbox.contracts.base import Contract


class DependencyHealth(Contract):
    ready: bool
    detail: dict[str, Any] = Field(default_factory=dict)


class Health(Contract):
    status: Literal["ok", "degraded", "starting"]
    version: str
    models: dict[str, str]
    dependencies: dict[str, DependencyHealth]


class Problem(BaseModel):
    """RFC 9457 problem details: the body of every answer that is not 2xx."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    trace_id: str | None = None
    retryable: bool
    hint: str | None = None
    errors: list[dict[str, str]] | None = None

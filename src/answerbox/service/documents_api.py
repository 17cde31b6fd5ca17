"""The routes that BentoML's POST-only methods cannot serve: documents, jobs, running requests, sessions, feedback,
health, OpenAPI.
"""

from __future__ import annotations

import re
from typing import Any

import bentoml
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from answerbox.contracts import MAX_PAGE, Contract, DocumentsRequest, FeedbackRequest, FeedbackResponse, Identifier, Job
from answerbox.errors import InvalidRequest, RequestNotFound
from answerbox.feedback import Feedback
from answerbox.service import exchange
from answerbox.service.exchange import within_deadline
from answerbox.service.friendly import friendly
from answerbox.service.mcp_door import McpDoor
from answerbox.service.openai_door import OPENAI_ROUTES
from answerbox.service.openapi import openapi
from answerbox.service.page import PAGE_ROUTES
from answerbox.service.uploading import receive_files
from answerbox.sessions import SessionKey
from answerbox.traces import trace_id_of
from answerbox.validation import invalid_request, validated, validated_json

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}")


@friendly
async def add_documents(request: Request) -> Response:
    """JSON with documents, or a form with files."""
    key = _idempotency_key(request)
    if exchange.current.get().is_form:
        work = _add_files(request, key)
    else:
        wanted = validated_json(DocumentsRequest, await request.body())
        caller = exchange.current.get().caller
        documents = [one.model_copy(update={"user_id": caller.speaks_for(one.user_id)}) for one in wanted.documents]
        work = _service().store.add(documents, key)
    return _accepted(await within_deadline(work))


@friendly
async def reindex(_: Request) -> Response:
    return _accepted(await within_deadline(_service().store.reindex()))


@friendly
async def list_documents(request: Request) -> Response:
    user_id = _user(request, "limit", "after")
    given = request.query_params.get("limit")
    limit = validated(_Page, {} if given is None else {"limit": given}).limit
    page = _service().store.documents(request.query_params.get("after"), limit, user_id)
    return _json(await within_deadline(page))


@friendly
async def get_document(request: Request) -> Response:
    found = _service().store.document(_path_value("document_id"), _user(request))
    return _json(await within_deadline(found))


@friendly
async def delete_document(request: Request) -> Response:
    await within_deadline(_service().store.delete(_path_value("document_id"), _user(request)))
    return Response(status_code=204)


@friendly
async def get_job(_: Request) -> Response:
    return _json(await within_deadline(_service().store.job(_path_value("job_id"))))


@friendly
async def cancel_job(_: Request) -> Response:
    return _json(await within_deadline(_service().store.cancel(_path_value("job_id"))))


@friendly
async def give_feedback(request: Request) -> Response:
    wanted = validated_json(FeedbackRequest, await request.body())
    user_id = exchange.current.get().caller.speaks_for(wanted.user_id)
    trace_id = wanted.trace_id or trace_id_of(wanted.request_id or "")
    feedback = Feedback(trace_id, wanted.score, wanted.comment, user_id)
    await within_deadline(_service().feedback.add(feedback))
    return _json(FeedbackResponse(trace_id=trace_id, score_id=feedback.score_id), 202)


@friendly
async def cancel_request(_: Request) -> Response:
    request_id = _path_value("request_id")
    if not await within_deadline(_service().cancel(request_id)):
        raise RequestNotFound(
            f"No answer is being generated for a request {request_id!r}.",
            hint="The id is that of the X-Request-Id header; an answer that has ended cannot be cancelled.",
        )
    return Response(status_code=204)


@friendly
async def delete_session(request: Request) -> Response:
    session_id = validated(_Session, {"session_id": _path_value("session_id")}).session_id
    await within_deadline(_service().sessions.delete(SessionKey(session_id, _user(request))))
    return Response(status_code=204)


@friendly
async def health(_: Request) -> Response:
    return _json(await _service().health.report())


async def docs_json(_: Request) -> Response:
    return JSONResponse(openapi())


documents_app = Starlette(
    routes=[
        *PAGE_ROUTES,
        Route("/docs.json", docs_json, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/documents", list_documents, methods=["GET"]),
        Route("/documents", add_documents, methods=["POST"]),
        # The edge has put the template in the path's place and keeps the values.
        Route("/documents/{document_id}", get_document, methods=["GET"]),
        Route("/documents/{document_id}", delete_document, methods=["DELETE"]),
        Route("/jobs/{job_id}", get_job, methods=["GET"]),
        Route("/jobs/{job_id}", cancel_job, methods=["DELETE"]),
        Route("/reindex", reindex, methods=["POST"]),
        Route("/feedback", give_feedback, methods=["POST"]),
        Route("/requests/{request_id}", cancel_request, methods=["DELETE"]),
        Route("/sessions/{session_id}", delete_session, methods=["DELETE"]),
        Route("/mcp", McpDoor()),
        *OPENAI_ROUTES,
    ]
)


async def _add_files(request: Request, key: str | None) -> Job:
    store = _service().store
    job: Job = await store.add_files(await receive_files(request, store), key)
    return job


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise invalid_request([{"field": "Idempotency-Key", "message": "1 to 128 printable ASCII characters"}])
    return key


def _user(request: Request, *others: str) -> str | None:
    """The `user_id` of the query; no other parameters than these are known."""
    known = (*others, "user_id")
    unknown = set(request.query_params) - set(known)
    if unknown:
        raise InvalidRequest(
            f"Unknown parameters: {', '.join(sorted(unknown))}.", hint=f"There are: {', '.join(known)}."
        )
    asked = validated(_Reader, {"user_id": request.query_params.get("user_id")}).user_id
    return exchange.current.get().caller.speaks_for(asked)


class _Page(Contract):
    limit: int = Field(50, ge=1, le=MAX_PAGE)


class _Session(Contract):
    session_id: Identifier


class _Reader(Contract):
    user_id: Identifier | None = None


def _accepted(job: Job) -> Response:
    return _json(job, 202, {"Location": f"/jobs/{job.job_id}"})


def _service() -> Any:
    return bentoml.get_current_service()


def _path_value(name: str) -> str:
    return exchange.current.get().path_values[name]


def _json(content: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(content.model_dump(mode="json"), status_code=status, headers=headers)

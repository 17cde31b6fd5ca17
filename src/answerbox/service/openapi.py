"""The OpenAPI 3.1 document, made from the contract. `docs/openapi.json` is a copy that a test keeps true.

Ours instead of BentoML's: that one lists neither mounted routes, nor problem documents, nor what a stream says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from answerbox import __version__, contracts
from answerbox.service import openai_contract, openai_problems
from answerbox.service.edge import SHORTEST_S
from answerbox.service.problems import MEDIA_TYPE
from answerbox.service.routes import ROUTES

REF = "#/components/schemas/{model}"

REQUESTS: list[type[BaseModel]] = [
    contracts.LlmRequest,
    contracts.RagRequest,
    contracts.AgentRequest,
    contracts.CustomRequest,
    contracts.SearchRequest,
    contracts.DocumentsRequest,
    contracts.FeedbackRequest,
    openai_contract.ChatBody,
    openai_contract.EmbeddingsBody,
]
RESPONSES: list[type[BaseModel]] = [
    contracts.LlmResponse,
    contracts.RagResponse,
    contracts.AgentResponse,
    contracts.CustomResponse,
    contracts.SearchResponse,
    contracts.FeedbackResponse,
    contracts.Job,
    contracts.DocumentPage,
    contracts.Document,
    contracts.Health,
    contracts.Problem,
    contracts.MetaEvent,
    contracts.StepEvent,
    contracts.ToolCallEvent,
    contracts.ToolResultEvent,
    contracts.TokenEvent,
    contracts.CorrectionEvent,
    contracts.CitationEvent,
    contracts.ErrorEvent,
    contracts.DoneEvent,
    openai_contract.ModelCard,
    openai_contract.ModelList,
    openai_contract.ChatCompletion,
    openai_contract.ChatChunk,
    openai_contract.EmbeddingList,
    openai_contract.OpenAIError,
]
PROBLEMS: dict[int, str] = {
    400: "The body is not JSON.",
    401: "The request has no API key that is known.",
    403: "The key does not have the scope, or speaks for another user.",
    404: "There is no such document, job, session, request or model, or this service does not serve the path.",
    409: "The job has ended, or the idempotency key was used for another request.",
    408: "The body did not come in time.",
    413: "The body is too long.",
    415: "The body is declared as something that the route does not take.",
    422: "The request breaks the contract, or the prompt does not fit the model's window.",
    429: "The key has had its requests, its tokens, or has too many running; `Retry-After` says when to try again.",
    502: "A part of the service answered nonsense.",
    503: "A part of the service is down, not ready, or has too much to do; `Retry-After` says when to try again.",
    504: "There was no answer within the deadline.",
    507: "The disk of the documents is full.",
    500: "A bug.",
}
EXAMPLES: dict[str, Any] = {
    "LlmRequest": {"question": "What is the capital of France?", "user_id": "ada"},
    "RagRequest": {"question": "How do I add my own documents?", "top_k": 3},
    "AgentRequest": {"question": "How much is 15 % of the delivery price?", "session_id": "ada-1", "max_steps": 4},
    "CustomRequest": {"question": "Do I need an umbrella?", "parameters": {"city": "Berlin"}},
    "SearchRequest": {"query": "add documents", "top_k": 5},
    "FeedbackRequest": {"request_id": "order-4711-a", "score": 1, "comment": "Just what I needed."},
    "DocumentsRequest": {"documents": [{"id": "faq-1", "title": "FAQ", "text": "We open at nine."}]},
}
"""Here and not in the contract's classes: BentoML's own generator refuses `examples` of a whole model."""
BODY = (400, 408, 413, 415, 422)
PARTS = (500, 502, 503, 504)
WRITES = (*PARTS, 507)
SECURITY: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
TIMEOUT = {
    "name": "X-Request-Timeout",
    "in": "header",
    "description": "The deadline of the request, in seconds; 500 at most, or what the operator has set.",
    "schema": {"type": "number", "minimum": SHORTEST_S, "maximum": 500},
}
KEY = {"type": "string", "pattern": "^[!-~]{1,128}$"}
NAMES = ["meta", "step", "tool_call", "tool_result", "token", "correction", "citation", "done", "error"]
EVENT = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": NAMES},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
"""One of the stream's events; OpenAPI 3.1 has no way to say that there are many."""
CHUNK = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": REF.format(model="ChatChunk")},
    "description": "A ChatChunk, or last an OpenAIError; after the last chunk `[DONE]`.",
}
EVENTS = (
    "Server-sent events. Each has a name (`event:`) and JSON (`data:`): `meta` (MetaEvent), `step` (StepEvent), "
    "`tool_call` and `tool_result` of the agent (ToolCallEvent, ToolResultEvent), "
    "`token` (TokenEvent), `correction` (CorrectionEvent: the answer in place of the tokens so far), `citation` "
    "(CitationEvent), and last either `done` (DoneEvent) or `error` "
    "(ErrorEvent); the JSON is the schema's object without its field `event`. "
    "A line that starts with `:` is a heartbeat."
)


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Answerbox",
            "version": __version__,
            "description": "Answers questions: with a language model alone, and from your documents.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _as_openai(_guarded(_paths())),
        "components": {"schemas": _schemas(), "securitySchemes": SECURITY},
    }


def _paths() -> dict[str, Any]:
    user = {
        "name": "user_id",
        "in": "query",
        "description": "Whose document; without it, one that is nobody's.",
        "schema": TypeAdapter(contracts.Identifier).json_schema(),
    }
    document: list[dict[str, Any]] = [
        {"name": "document_id", "in": "path", "required": True, "schema": {"type": "string"}},
        user,
    ]
    job = [{"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    model = [{"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    request = [{"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    session: list[dict[str, Any]] = [
        {
            "name": "session_id",
            "in": "path",
            "required": True,
            "schema": TypeAdapter(contracts.Identifier).json_schema(),
        },
        {**user, "description": "Whose conversation; without it, one that is nobody's."},
    ]
    page = [
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
        },
        {"name": "after", "in": "query", "schema": {"type": "string"}},
        user,
    ]
    return {
        "/llm_query": {"post": _post("Ask the language model", "LlmRequest", {200: "LlmResponse"})},
        "/llm_query/stream": {"post": _stream("Ask the language model, as a stream", "LlmRequest")},
        "/rag_query": {"post": _post("Ask the documents", "RagRequest", {200: "RagResponse"})},
        "/rag_query/stream": {"post": _stream("Ask the documents, as a stream", "RagRequest")},
        "/agent_query": {"post": _post("Ask the agent", "AgentRequest", {200: "AgentResponse"})},
        "/agent_query/stream": {"post": _stream("Ask the agent, as a stream", "AgentRequest")},
        "/custom_query": {"post": _post("Ask the operator's own run_model", "CustomRequest", {200: "CustomResponse"})},
        "/custom_query/stream": {"post": _stream("Ask the operator's own run_model, as a stream", "CustomRequest")},
        "/search": {"post": _post("Find passages", "SearchRequest", {200: "SearchResponse"})},
        "/feedback": {"post": _post("Say how good an answer was", "FeedbackRequest", {202: "FeedbackResponse"})},
        "/documents": {
            "get": _operation("List the documents", {200: "DocumentPage"}, (422, *PARTS), page),
            "post": _documents(),
        },
        "/documents/{document_id}": {
            "get": _operation("One document", {200: "Document"}, (404, *PARTS), document),
            "delete": _operation("Delete a document", {204: None}, (404, *WRITES), document),
        },
        "/jobs/{job_id}": {
            "get": _operation("How far a job is", {200: "Job"}, (404, *PARTS), job),
            "delete": _operation("Cancel a job", {200: "Job"}, (404, 409, *WRITES), job),
        },
        "/reindex": {
            "post": _operation("Make all vectors anew with the present embedding model", {202: "Job"}, WRITES),
        },
        "/requests/{request_id}": {
            "delete": _operation("End a generation; its answer is what there is", {204: None}, (404, *PARTS), request),
        },
        "/sessions/{session_id}": {
            "delete": _operation("Forget a conversation of the agent", {204: None}, (404, *WRITES), session),
        },
        "/v1/models": {"get": _operation("The models, as OpenAI lists them", {200: "ModelList"}, (500,))},
        "/v1/models/{model_id}": {"get": _operation("A model", {200: "ModelCard"}, (404, 500), model)},
        "/v1/chat/completions": {"post": _chat()},
        "/v1/embeddings": {"post": _post("Vectors of texts", "EmbeddingsBody", {200: "EmbeddingList"}, (404,))},
        "/health": {"get": _operation("How the service and its parts are", {200: "Health"}, (500,))},
        "/livez": {"get": _operation("The process lives", {200: None}, (500,))},
        "/readyz": {"get": _operation("Requests will be answered", {200: None}, (500, 503))},
        "/metrics": {"get": _operation("Metrics in Prometheus' text format", {200: None}, (500,))},
    }


def _guarded(paths: dict[str, Any]) -> dict[str, Any]:
    """What every operation has that asks for a key: other ways to fail, and a deadline of the caller's."""
    for route in ROUTES:
        operation = paths.get(route.template, {}).get(route.method.lower())
        if operation is None or route.scope is None:
            continue
        operation["security"] = [{name: []} for name in SECURITY]
        operation["description"] = f"With API keys on, the key needs the scope `{route.scope}`."
        _add_problems(operation, (401, 403) if route.is_probe else (401, 403, 422, 429, 503))
        if route.needs:
            _add_problems(operation, (404,))
        if not route.is_probe:
            operation.setdefault("parameters", []).append(TIMEOUT)
    return paths


def _as_openai(paths: dict[str, Any]) -> dict[str, Any]:
    """The failures of that protocol's paths, in its shape and with its statuses."""
    for path, operations in paths.items():
        if not openai_problems.is_openai(path):
            continue
        for operation in operations.values():
            answers = operation["responses"]
            for status in [status for status in answers if status >= "400"]:
                told = str(openai_problems.STATUS.get(int(status), status))
                description = answers.pop(status)["description"]
                if told != status and told in answers:
                    description = f"{answers[told]['description']} {description}"
                answers[told] = {"description": description, "content": _content("application/json", "OpenAIError")}
            operation["responses"] = dict(sorted(answers.items()))
    return paths


def _add_problems(operation: dict[str, Any], statuses: tuple[int, ...]) -> None:
    more = {str(status): _problem(status) for status in statuses}
    operation["responses"] = dict(sorted((operation["responses"] | more).items()))


def _problem(status: int) -> dict[str, Any]:
    return {"description": PROBLEMS[status], "content": _content(MEDIA_TYPE, "Problem")}


def _operation(
    summary: str,
    answers: dict[int, str | None],
    problems: tuple[int, ...],
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, model in answers.items():
        responses[str(status)] = {"description": "OK"}
        if model:
            responses[str(status)]["content"] = _content("application/json", model)
    for status in sorted(problems):
        responses[str(status)] = _problem(status)
    found: dict[str, Any] = {"summary": summary, "responses": responses}
    if parameters:
        found["parameters"] = parameters
    return found


def _post(summary: str, request: str, answers: dict[int, str | None], more: tuple[int, ...] = ()) -> dict[str, Any]:
    body = {"required": True, "content": _content("application/json", request)}
    return {**_operation(summary, answers, (*BODY, *PARTS, *more)), "requestBody": body}


def _documents() -> dict[str, Any]:
    """As JSON, or as files in a form."""
    found = _post("Add documents or files, or replace them", "DocumentsRequest", {202: "Job"})
    form = {
        "type": "object",
        "required": ["files"],
        "properties": {
            "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
            "metadata": {
                "type": "object",
                "maxProperties": 32,
                "propertyNames": TypeAdapter(contracts.Key).json_schema(),
                "additionalProperties": {"type": ["string", "number", "boolean"], "maxLength": 1_000},
                "description": "As JSON; for all files.",
            },
            "language": TypeAdapter(contracts.Language).json_schema(),
            "user_id": TypeAdapter(contracts.Identifier).json_schema(),
        },
        "additionalProperties": False,
    }
    found["requestBody"]["content"]["multipart/form-data"] = {"schema": form}
    repeat = "The same key with the same body is the same job: a request may be repeated safely."
    found["parameters"] = [{"name": "Idempotency-Key", "in": "header", "description": repeat, "schema": KEY}]
    found["responses"]["409"] = _problem(409)
    return found


def _stream(summary: str, request: str) -> dict[str, Any]:
    found = _post(summary, request, {200: None})
    found["responses"]["200"] = {
        "description": EVENTS,
        "content": {"text/event-stream": {"schema": EVENT}},
    }
    return found


def _chat() -> dict[str, Any]:
    """An answer or, where the body has `stream`, server-sent events."""
    found = _post("Continue a chat, as OpenAI's protocol has it", "ChatBody", {200: "ChatCompletion"}, (404,))
    found["responses"]["200"]["content"]["text/event-stream"] = {
        "schema": {"type": "object", "properties": {"data": CHUNK}}
    }
    return found


def _content(media_type: str, model: str) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": REF.format(model=model)}}
    if model in EXAMPLES:
        content["example"] = EXAMPLES[model]
    return {media_type: content}


def _schemas() -> dict[str, Any]:
    inputs = [(model, "validation") for model in REQUESTS]
    outputs = [(model, "serialization") for model in RESPONSES]
    _, found = models_json_schema([*inputs, *outputs], ref_template=REF)  # type: ignore[list-item]
    return dict(sorted(found["$defs"].items()))

"""OpenAI's door: the pipelines under the names of models, for clients that speak that protocol."""

from __future__ import annotations

from typing import Any

import bentoml
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from answerbox.contracts import LlmRequest
from answerbox.pipelines.chat import ChatRequest
from answerbox.pipelines.llm import LlmPipeline
from answerbox.pipelines.rag import RagPipeline
from answerbox.service import exchange, openai_models, openai_unsupported
from answerbox.service.exchange import within_deadline
from answerbox.service.friendly import friendly
from answerbox.service.openai_answers import Answers, Checked
from answerbox.service.openai_chat import OURS, Talk, options_of, request_of, talk_of
from answerbox.service.openai_contract import ChatBody, EmbeddingsBody
from answerbox.service.openai_embeddings import embeddings
from answerbox.service.openai_models import Served
from answerbox.validation import validated_json

TAG = "openai"
TALK_DROPPED = "conversation_dropped"


@friendly
async def list_models(_: Request) -> Response:
    return _json(openai_models.cards())


@friendly
async def get_model(_: Request) -> Response:
    return _json(openai_models.card(exchange.current.get().path_values["model_id"]))


@friendly
async def complete_chat(request: Request) -> Response:
    body = validated_json(ChatBody, await request.body())
    served = openai_models.chat_model(body.model)
    this = exchange.current.get()
    this.trace.name = f"{served.pipeline}_query"
    this.trace.tags.append(TAG)
    ignored = openai_unsupported.ignored(body, openai_unsupported.CHAT)
    ignored = [name for name in ignored if not (name in OURS and name in served.contract.model_fields)]
    if not issubclass(served.contract, LlmRequest):
        ignored = sorted([*ignored, *options_of(body)])
    service, pipeline = _service(), _service().pipeline(served.pipeline)
    talk = await _heard(talk_of(body.messages), pipeline)
    asked = request_of(body, talk, ChatRequest if isinstance(pipeline, LlmPipeline) else served.contract)
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    answers = Answers(this.request_id, body.model, ignored, with_usage)
    if not body.stream:
        return _json(answers.whole(await service.answer(pipeline, asked)))
    this.takes_stream()
    response: Response = await service.stream(_told(pipeline, served), asked, answers.framing)
    return response


@friendly
async def embed(request: Request) -> Response:
    body = validated_json(EmbeddingsBody, await request.body())
    openai_unsupported.ignored(body, openai_unsupported.EMBEDDINGS)
    if body.model != openai_models.EMBEDDING:
        raise openai_models.not_found(body.model, (openai_models.EMBEDDING,))
    this = exchange.current.get()
    this.trace.tags.append(TAG)
    this.trace.user_id = this.caller.speaks_for(body.user)
    this.trace.root.kind = "embedding"
    found = await within_deadline(embeddings(body, _service().embedder_port))
    this.tokens = found.usage.total_tokens
    return _json(found)


OPENAI_ROUTES = [
    Route("/v1/models", list_models, methods=["GET"]),
    Route("/v1/models/{model_id}", get_model, methods=["GET"]),
    Route("/v1/chat/completions", complete_chat, methods=["POST"]),
    Route("/v1/embeddings", embed, methods=["POST"]),
]


async def _heard(talk: Talk, pipeline: Any) -> Talk:
    """What the pipeline can make use of: a small model that answers from sentences gets lost in a conversation."""
    if talk.is_single or not isinstance(pipeline, RagPipeline):
        return talk
    if not (await within_deadline(pipeline.generator.info())).small:
        return talk
    exchange.current.get().trace.degraded.append(TALK_DROPPED)
    return Talk(talk.question, talk.place, "", ())


def _told(pipeline: Any, served: Served) -> Any:
    return Checked(pipeline) if served.is_checked else pipeline


def _service() -> Any:
    return bentoml.get_current_service()


def _json(content: BaseModel) -> Response:
    return JSONResponse(content.model_dump(mode="json"))

"""The service that faces the network: typed API methods, each a few lines around a pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import bentoml

from answerbox.adapters.bento_generator import RemoteGenerator
from answerbox.adapters.bento_remote import RemoteDocumentStore, RemoteEmbedder, RemoteReranker
from answerbox.app import llm_pipeline, rag_pipeline, remote_generator
from answerbox.contracts import (
    DoneEvent,
    Event,
    LlmRequest,
    LlmResponse,
    RagRequest,
    RagResponse,
    SearchRequest,
    SearchResponse,
)
from answerbox.keys import required
from answerbox.pipelines.base import Pipeline, answer
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.retrieval import Retriever
from answerbox.service import exchange, quiet_log
from answerbox.service.documents_api import documents_app
from answerbox.service.edge import EdgeService
from answerbox.service.friendly import friendly
from answerbox.service.health import HealthMonitor
from answerbox.service.index import Index
from answerbox.service.inference import Embedder, Generator, Reranker
from answerbox.service.sse import stream_response
from answerbox.service.warm_up import warm_up
from answerbox.settings import load_settings

log = logging.getLogger(__name__)
settings = load_settings()
required(settings.keys_path, settings.env)  # here, so that the whole service does not start


@bentoml.service(
    name="Answerbox",
    service_class=EdgeService,
    workers=settings.gateway_workers,
    # Longer than any deadline of ours: the deadline is the pipeline's, and BentoML's only a net below it.
    traffic={"timeout": 600},
    runner_probe={"enabled": False, "timeout": 1, "period": 10},
)
@bentoml.asgi_app(documents_app)
class Answerbox:
    generator = None if settings.llm_base_url else bentoml.depends(Generator)
    embedder = bentoml.depends(Embedder)
    index = bentoml.depends(Index)
    reranker = bentoml.depends(Reranker) if settings.reranker_model else None

    def __init__(self) -> None:
        quiet_log.install()
        generator = remote_generator(settings) if settings.llm_base_url else RemoteGenerator(self.generator)
        embedder = RemoteEmbedder(self.embedder)
        self.generator_port = generator
        self.store = RemoteDocumentStore(self.index, settings.index_timeout_s)
        reranker = RemoteReranker(self.reranker, settings.reranker_timeout_s) if settings.reranker_model else None
        self.retriever = Retriever(self.store, reranker)
        self.llm = llm_pipeline(settings, generator)
        self.rag = rag_pipeline(settings, generator, self.retriever)
        self.health = HealthMonitor(
            probes={"generator": generator.probe, "embedder": embedder.probe, "index": self.store.probe},
            models={"generator": settings.llm_model or settings.generator_model, "embedder": settings.embedder_model},
            needed=settings.needed_parts,
        )
        self._parts = (generator, embedder)
        self._warming: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        self._warming = asyncio.create_task(warm_up(*self._parts, self.health))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        if self._warming:
            self._warming.cancel()
        await self.generator_port.close()

    async def __is_ready__(self) -> bool:
        return await self.health.ready()

    @bentoml.api(route="/llm_query")
    @friendly
    async def llm_query(self, request: LlmRequest, /) -> LlmResponse:
        return await _answer(self.llm, request)  # type: ignore[no-any-return]

    @bentoml.api(route="/llm_query/stream")
    @friendly
    async def llm_query_stream(self, request: LlmRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.llm, request)  # type: ignore[no-any-return]

    @bentoml.api(route="/rag_query")
    @friendly
    async def rag_query(self, request: RagRequest, /) -> RagResponse:
        return await _answer(self.rag, request)  # type: ignore[no-any-return]

    @bentoml.api(route="/rag_query/stream")
    @friendly
    async def rag_query_stream(self, request: RagRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.rag, request)  # type: ignore[no-any-return]

    @bentoml.api(route="/search")
    @friendly
    async def search(self, request: SearchRequest, /) -> SearchResponse:
        this, context = exchange.current.get(), _context()
        user_id = this.caller.speaks_for(request.user_id)
        found = await this.run(
            self.retriever.retrieve(request.query, request.top_k, request.filter, context, user_id, request.mode)
        )
        return SearchResponse(hits=found.sources, degraded=context.degraded)


def _context() -> RequestContext:
    this = exchange.current.get()
    return RequestContext(this.request_id, this.timeout_s, this.began)


async def _answer(pipeline: Pipeline[Any], request: LlmRequest) -> Any:
    this = exchange.current.get()
    response = await this.run(answer(pipeline, _spoken_for(request), _context()))
    this.tokens = response.meta.usage.total_tokens
    return response


async def _stream(pipeline: Pipeline[Any], request: LlmRequest) -> Any:
    events = pipeline.stream(_spoken_for(request), _context())
    this = exchange.current.get()
    return await stream_response(_counted(events, this), this, settings.stream_heartbeat_s)


async def _counted(events: AsyncGenerator[Event, None], this: exchange.Exchange) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, DoneEvent):
                this.tokens = event.response.meta.usage.total_tokens
            yield event


def _spoken_for(request: LlmRequest) -> LlmRequest:
    user_id = exchange.current.get().caller.speaks_for(request.user_id)
    return request.model_copy(update={"user_id": user_id})

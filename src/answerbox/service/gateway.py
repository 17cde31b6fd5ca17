"""The service that faces the network: typed API methods, each a few lines around a pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import bentoml

from answerbox import logs
from answerbox.adapters.bento_remote import (
    RemoteDocumentStore,
    RemoteFeedback,
    RemoteReranker,
    RemoteSessions,
)
from answerbox.app import agent_pipeline, llm_pipeline, own_prompts, rag_pipeline, remote_generator
from answerbox.contracts import (
    AgentRequest,
    AgentResponse,
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
from answerbox.pipelines.base import Pipeline, Response, answer, note_request, note_response
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.retrieval import Retriever
from answerbox.service import exchange
from answerbox.service.documents_api import documents_app
from answerbox.service.edge import EdgeService
from answerbox.service.friendly import friendly
from answerbox.service.health import HealthMonitor
from answerbox.service.index import Index
from answerbox.service.inference import Embedder, Generator, Reranker
from answerbox.service.parts import depends_on, embedder_of, generator_of
from answerbox.service.reporting import SLOWER_S, part_figures, process_figures, report_every
from answerbox.service.sse import Framing, frame, stream_response
from answerbox.service.warm_up import warm_up
from answerbox.settings import load_settings

log = logging.getLogger(__name__)
settings = load_settings()
logs.install_in_server(settings)
required(settings.keys_path, settings.env)  # here, so that the whole service does not start

IS_REMOTE = bool(settings.llm_base_url) and "generator" in settings.parts
HAS_NO_GENERATOR = bool(settings.llm_base_url) or "generator" not in settings.parts


@bentoml.service(
    name="Answerbox",
    service_class=EdgeService,
    workers=settings.gateway_workers,
    # Longer than any deadline of ours: the deadline is the pipeline's, and BentoML's only a net below it.
    traffic={"timeout": 600},
    runner_probe={"enabled": False, "timeout": 1, "period": 10},
)
@bentoml.asgi_app(documents_app)
@depends_on("generator", Generator, settings.generator_url, unless=HAS_NO_GENERATOR)
@depends_on("embedder", Embedder, settings.embedder_url, unless="embedder" not in settings.parts)
class Answerbox:
    index = bentoml.depends(Index, url=settings.index_url) if "index" in settings.parts else None
    reranker = bentoml.depends(Reranker, url=settings.reranker_url) if settings.reranker_model else None

    def __init__(self) -> None:
        self.settings = settings
        generator = remote_generator(settings) if IS_REMOTE else generator_of(self)
        embedder = embedder_of(self)
        self.generator_port = generator
        self.embedder_port = embedder
        self.store = RemoteDocumentStore(self.index, settings.index_timeout_s)
        self.feedback = RemoteFeedback(self.index, settings.index_timeout_s)
        reranker = RemoteReranker(self.reranker, settings.reranker_timeout_s) if settings.reranker_model else None
        self.retriever = Retriever(self.store, reranker, settings.index_patience_s)
        self.prompts = own_prompts(settings)
        self.llm = llm_pipeline(settings, generator, self.prompts)
        self.rag = rag_pipeline(settings, generator, self.retriever, self.prompts)
        self.sessions = RemoteSessions(self.index, settings.index_timeout_s)
        self.agent = agent_pipeline(settings, generator, self.retriever, self.prompts, self.sessions)
        probes = {"generator": generator.probe, "embedder": embedder.probe, "index": self.store.probe}
        models = {"generator": settings.llm_model or settings.generator_model, "embedder": settings.embedder_model}
        self.health = HealthMonitor(
            probes={name: probe for name, probe in probes.items() if name in settings.parts},
            models={name: model for name, model in models.items() if name in settings.parts},
            needed=settings.needed_parts,
        )
        self._beside: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None

    @bentoml.on_startup
    async def start(self) -> None:
        self._beside = asyncio.create_task(self._run_beside())
        self._reporting = report_every(SLOWER_S, process_figures("Answerbox"), part_figures(self.health))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        for task in (self._beside, self._reporting):
            if task:
                task.cancel()
        await self.generator_port.close()

    async def _run_beside(self) -> None:
        """What is done beside the requests, from before the first one on."""
        if self.prompts:
            await self.prompts.refresh()
        generator = self.generator_port if "generator" in settings.parts else None
        await warm_up(generator, self.embedder_port if "embedder" in settings.parts else None, self.health)
        while self.prompts:
            await asyncio.sleep(settings.prompt_refresh_s)
            await self.prompts.refresh()

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

    @bentoml.api(route="/agent_query")
    @friendly
    async def agent_query(self, request: AgentRequest, /) -> AgentResponse:
        return await _answer(self.agent, request)  # type: ignore[no-any-return]

    @bentoml.api(route="/agent_query/stream")
    @friendly
    async def agent_query_stream(self, request: AgentRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.agent, request)  # type: ignore[no-any-return]

    async def answer(self, pipeline: Pipeline[Any], request: LlmRequest) -> Response:
        """For other doors. Raises as `Exchange.run` and the pipeline do."""
        return await _answer(pipeline, request)  # type: ignore[no-any-return]

    async def stream(self, pipeline: Pipeline[Any], request: LlmRequest, framing: Framing) -> Any:
        """For other doors: the response with the pipeline's events in that form. Raises as `stream_response` does."""
        return await _stream(pipeline, request, framing)

    @bentoml.api(route="/search")
    @friendly
    async def search(self, request: SearchRequest, /) -> SearchResponse:
        return await self.found(request)

    async def found(self, request: SearchRequest) -> SearchResponse:
        """For other doors. Raises as `Exchange.run` and the index do."""
        this, context = exchange.current.get(), _context()
        trace = this.trace
        trace.user_id = user_id = this.caller.speaks_for(request.user_id)
        trace.root.kind, trace.root.input = "retriever", request.query
        found = await this.run(
            self.retriever.retrieve(request.query, request.top_k, request.filter, context, user_id, request.mode)
        )
        return SearchResponse(hits=found.sources, degraded=context.degraded)


def _context() -> RequestContext:
    this = exchange.current.get()
    return RequestContext(this.request_id, this.timeout_s, this.began, this.trace)


async def _answer(pipeline: Pipeline[Any], request: LlmRequest) -> Any:
    this = exchange.current.get()
    response = await this.run(answer(pipeline, _spoken_for(request), _context()))
    _note(response, this)
    return response


async def _stream(pipeline: Pipeline[Any], request: LlmRequest, framing: Framing = frame) -> Any:
    this = exchange.current.get()
    this.trace.tags.append("stream")
    events = pipeline.stream(_spoken_for(request), _context())
    return await stream_response(_noted(events, this), this, settings.stream_heartbeat_s, framing)


async def _noted(events: AsyncGenerator[Event, None], this: exchange.Exchange) -> AsyncGenerator[Event, None]:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, DoneEvent):
                _note(event.response, this)
            yield event


def _spoken_for(request: LlmRequest) -> LlmRequest:
    """The request in the name of whom its key speaks for; its trace knows who asks what from here on."""
    this = exchange.current.get()
    spoken = request.model_copy(update={"user_id": this.caller.speaks_for(request.user_id)})
    note_request(this.trace, spoken)
    return spoken


def _note(response: Response, this: exchange.Exchange) -> None:
    this.tokens = response.meta.usage.total_tokens
    note_response(this.trace, response)

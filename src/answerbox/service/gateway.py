"""The service that faces the network: typed API methods, each a few lines around a pipeline."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
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
from answerbox.adapters.twins import GeneratorTwin
from answerbox.app import (
    agent_pipeline,
    custom_pipeline,
    llm_pipeline,
    own_prompts,
    rag_pipeline,
    remote_generator,
)
from answerbox.contracts import (
    AgentRequest,
    AgentResponse,
    CustomRequest,
    CustomResponse,
    DoneEvent,
    Event,
    LlmRequest,
    LlmResponse,
    PipelineName,
    QuestionRequest,
    RagRequest,
    RagResponse,
    SearchRequest,
    SearchResponse,
)
from answerbox.errors import NotServed, SetupError
from answerbox.keys import required
from answerbox.pipelines.base import Cancellable, Pipeline, Response, answer, note_request, note_response
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.custom import CustomPipeline
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
has = settings.served.__contains__


@bentoml.service(
    name="Answerbox",
    service_class=EdgeService,
    workers=settings.gateway_workers,
    # Longer than any deadline of ours: the deadline is the pipeline's, and BentoML's only a net below it.
    traffic={"timeout": 600},
    runner_probe={"enabled": False, "timeout": 1, "period": 10},
)
@bentoml.asgi_app(documents_app)
@depends_on("generator", Generator, settings.generator_url, unless=bool(settings.llm_base_url) or not has("generator"))
@depends_on("embedder", Embedder, settings.embedder_url, unless=not has("embedder"))
class Answerbox:
    """A part that no pipeline needs is None, and so is what asks it; the edge lets no request in that would use it."""

    index = bentoml.depends(Index, url=settings.index_url) if has("index") else None
    reranker = bentoml.depends(Reranker, url=settings.reranker_url) if has("reranker") else None

    def __init__(self) -> None:
        self.settings = settings
        self.generator_port = self._generator() if has("generator") else None
        self.embedder_port = embedder_of(self) if has("embedder") else None
        self.store = RemoteDocumentStore(self.index, settings.index_timeout_s) if has("index") else None
        self.feedback = RemoteFeedback(self.index, settings.index_timeout_s) if has("index") else None
        self.sessions = RemoteSessions(self.index, settings.index_timeout_s) if has("index") else None
        reranker = RemoteReranker(self.reranker, settings.reranker_timeout_s) if has("reranker") else None
        self.retriever = Retriever(self.store, reranker, settings.index_patience_s) if self.store else None
        self.prompts = own_prompts(settings)
        self.pipelines = self._pipelines()
        self._own = [pipeline for pipeline in self.pipelines.values() if isinstance(pipeline, CustomPipeline)]
        self.health = HealthMonitor(
            probes={name: part.probe for name, part in self._parts.items() if part},
            models=self._models,
            needed=settings.needed_parts,
        )
        self._beside: asyncio.Task[None] | None = None
        self._reporting: asyncio.Task[None] | None = None

    @property
    def _parts(self) -> dict[str, Any]:
        return {"generator": self.generator_port, "embedder": self.embedder_port, "index": self.store}

    @property
    def _models(self) -> dict[str, str]:
        names = {
            "generator": settings.llm_model or settings.generator_model,
            "embedder": settings.embedder_model,
            "custom": settings.custom_pipeline,
        }
        return {kind: name for kind, name in names.items() if name and has(kind)}

    def _generator(self) -> GeneratorTwin:
        return remote_generator(settings) if settings.llm_base_url else generator_of(self)

    def _pipelines(self) -> dict[PipelineName, Pipeline[Any]]:
        generator, retriever, prompts = self.generator_port, self.retriever, self.prompts
        made: dict[PipelineName, Callable[[], Pipeline[Any]]] = {
            "llm": lambda: llm_pipeline(settings, generator, prompts),
            "rag": lambda: rag_pipeline(settings, generator, retriever, prompts),
            "agent": lambda: agent_pipeline(settings, generator, retriever, prompts, self.sessions),
            "custom": lambda: custom_pipeline(settings),
        }
        return {name: make() for name, make in made.items() if has(name)}

    @bentoml.on_startup
    async def start(self) -> None:
        self._beside = asyncio.create_task(self._run_beside())
        self._reporting = report_every(SLOWER_S, process_figures("Answerbox"), part_figures(self.health))

    @bentoml.on_shutdown
    async def stop(self) -> None:
        for task in (self._beside, self._reporting):
            if task:
                task.cancel()
        for pipeline in self._own:
            pipeline.close()
        if self.generator_port:
            await self.generator_port.close()

    async def _run_beside(self) -> None:
        """What is done beside the requests, from before the first one on."""
        try:
            for pipeline in self._own:
                await pipeline.loaded()
        except SetupError as exc:
            log.critical("%s", exc, exc_info=exc.__cause__)
            logging.shutdown()
            os._exit(1)  # a good end would answer requests meanwhile, without a service, and bury the reason
        if self.prompts:
            await self.prompts.refresh()
        await warm_up(self.generator_port, self.embedder_port, self.health)
        while self.prompts:
            await asyncio.sleep(settings.prompt_refresh_s)
            await self.prompts.refresh()

    async def __is_ready__(self) -> bool:
        return await self.health.ready()

    @bentoml.api(route="/llm_query")
    @friendly
    async def llm_query(self, request: LlmRequest, /) -> LlmResponse:
        return await _answer(self.pipelines["llm"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/llm_query/stream")
    @friendly
    async def llm_query_stream(self, request: LlmRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.pipelines["llm"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/rag_query")
    @friendly
    async def rag_query(self, request: RagRequest, /) -> RagResponse:
        return await _answer(self.pipelines["rag"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/rag_query/stream")
    @friendly
    async def rag_query_stream(self, request: RagRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.pipelines["rag"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/agent_query")
    @friendly
    async def agent_query(self, request: AgentRequest, /) -> AgentResponse:
        return await _answer(self.pipelines["agent"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/agent_query/stream")
    @friendly
    async def agent_query_stream(self, request: AgentRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.pipelines["agent"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/custom_query")
    @friendly
    async def custom_query(self, request: CustomRequest, /) -> CustomResponse:
        return await _answer(self.pipelines["custom"], request)  # type: ignore[no-any-return]

    @bentoml.api(route="/custom_query/stream")
    @friendly
    async def custom_query_stream(self, request: CustomRequest, /) -> AsyncGenerator[str, None]:
        return await _stream(self.pipelines["custom"], request)  # type: ignore[no-any-return]

    def pipeline(self, name: PipelineName) -> Pipeline[Any]:
        """For other doors. Raises: NotServed."""
        if name not in self.pipelines:
            raise NotServed(f"This service does not serve the pipeline {name!r}.")
        return self.pipelines[name]

    async def cancel(self, request_id: str) -> bool:
        """Ends the answer of that request, where it is made here or by the language model. Whether there was one."""
        found = [each.cancel(request_id) for each in self.pipelines.values() if isinstance(each, Cancellable)]
        return bool(self.generator_port and await self.generator_port.cancel(request_id)) or any(found)

    async def answer(self, pipeline: Pipeline[Any], request: QuestionRequest) -> Response:
        """For other doors. Raises as `Exchange.run` and the pipeline do."""
        return await _answer(pipeline, request)  # type: ignore[no-any-return]

    async def stream(self, pipeline: Pipeline[Any], request: QuestionRequest, framing: Framing) -> Any:
        """For other doors: the response with the pipeline's events in that form. Raises as `stream_response` does."""
        return await _stream(pipeline, request, framing)

    @bentoml.api(route="/search")
    @friendly
    async def search(self, request: SearchRequest, /) -> SearchResponse:
        return await self.found(request)

    async def found(self, request: SearchRequest) -> SearchResponse:
        """For other doors. Raises as `Exchange.run` and the index do."""
        assert self.retriever
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


async def _answer(pipeline: Pipeline[Any], request: QuestionRequest) -> Any:
    this = exchange.current.get()
    response = await this.run(answer(pipeline, _spoken_for(request), _context()))
    _note(response, this)
    return response


async def _stream(pipeline: Pipeline[Any], request: QuestionRequest, framing: Framing = frame) -> Any:
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


def _spoken_for(request: QuestionRequest) -> QuestionRequest:
    """The request in the name of whom its key speaks for; its trace knows who asks what from here on."""
    this = exchange.current.get()
    spoken = request.model_copy(update={"user_id": this.caller.speaks_for(request.user_id)})
    note_request(this.trace, spoken)
    return spoken


def _note(response: Response, this: exchange.Exchange) -> None:
    this.tokens = response.meta.usage.total_tokens
    note_response(this.trace, response)

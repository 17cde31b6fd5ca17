"""The notebook's door: `run_model(request_dict) -> response_dict`, the same core as over HTTP, in this process.

    from answerbox.run import run_model
    run_model({"question": "How do I add my own documents?"})["answer"]

Works in a script and inside a notebook's running event loop. Equal input gives the same answer, and a failure
of the same `code`, as the service does.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.generation.local_generator import LocalGenerator
from answerbox.adapters.sqlite_sessions import SqliteSessions
from answerbox.app import (
    agent_pipeline,
    custom_pipeline,
    library,
    llm_pipeline,
    local_embedder,
    local_generator,
    own_prompts,
    rag_pipeline,
    remote_generator,
    session_store,
    tracer,
)
from answerbox.contracts import AgentRequest, CustomRequest, DocumentsRequest, LlmRequest, PipelineName, RagRequest
from answerbox.documents.library import Library
from answerbox.documents.manual import seed
from answerbox.errors import AnswerboxError, NotServed
from answerbox.pipelines.base import Pipeline, RequestT, answer, note_request, note_response
from answerbox.pipelines.context import RequestContext
from answerbox.pipelines.custom import CustomPipeline
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Prompts
from answerbox.settings import Settings, load_settings
from answerbox.traces import trace_of
from answerbox.validation import validated

T = TypeVar("T")
PipelineT = TypeVar("PipelineT", bound=Pipeline[Any])
NOT_SERVED = "See ANSWERBOX_PIPELINES and ANSWERBOX_CUSTOM_PIPELINE."
POLL_S = 0.02


class LocalAnswerbox:
    """Models and documents in this process. They are loaded when they are first needed.

    The data folder belongs to one process: while a service has it, give `Settings(data_dir=...)` of your own.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()
        self._loop = asyncio.new_event_loop()
        self._opening = threading.RLock()
        self._generator: Any = None
        self._embedder: Any = None
        self._folder: DataFolder | None = None
        self._library: Library | None = None
        self._tracer = tracer(self._settings)
        self._prompts: Prompts | None = None
        self._llm_pipeline: Pipeline[LlmRequest] | None = None
        self._rag_pipeline: Pipeline[RagRequest] | None = None
        self._agent_pipeline: Pipeline[AgentRequest] | None = None
        self._custom_pipeline: CustomPipeline | None = None
        self._sessions: SqliteSessions | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="answerbox", daemon=True)
        self._thread.start()

    def run_model(self, request: dict[str, Any], pipeline: PipelineName = "rag") -> dict[str, Any]:
        """The response as a dict: `answer` and `meta`.

        Raises:
            AnswerboxError: its `code` is the one that the service answers.
        """
        request_id = uuid.uuid4().hex
        trace = trace_of(f"{pipeline}_query", request_id)
        context = RequestContext(request_id, self._settings.request_timeout_s, trace=trace)
        error: AnswerboxError | None = None
        try:
            if pipeline not in self._settings.served:
                raise NotServed(f"The pipeline {pipeline!r} is not served.", hint=NOT_SERVED)
            if pipeline == "custom":
                return self._answered(self._custom(), validated(CustomRequest, request), context)
            if pipeline == "llm":
                return self._answered(self._llm(), validated(LlmRequest, request), context)
            if pipeline == "agent":
                return self._answered(self._agent(), validated(AgentRequest, request), context)
            return self._answered(self._rag(), validated(RagRequest, request), context)
        except AnswerboxError as exc:
            error = exc
            raise
        finally:
            trace.end(0, error)
            if self._tracer:
                self._tracer.record(trace)

    def _answered(self, pipeline: Pipeline[RequestT], request: RequestT, context: RequestContext) -> dict[str, Any]:
        note_request(context.trace, request)
        response = self._wait(answer(pipeline, request, context))
        note_response(context.trace, response)
        return response.model_dump(mode="json")

    def add_documents(self, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Indexes the documents and returns the finished job.

        Raises:
            InvalidRequest
        """
        asked = validated(DocumentsRequest, {"documents": list(documents)})
        return self._wait(_finished(self._documents(), asked))

    def close(self) -> None:
        if self._tracer:
            self._tracer.close()
        for pipeline in (self._llm_pipeline, self._rag_pipeline, self._custom_pipeline):
            if isinstance(pipeline, CustomPipeline):
                pipeline.close()
        if self._library:
            self._wait(self._library.stop())
        if self._sessions:
            self._sessions.close()
        if self._folder:
            self._folder.release()
        if isinstance(self._generator, LocalGenerator):
            self._generator.close()
        elif self._generator:
            self._wait(self._generator.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _model(self) -> Any:
        with self._opening:
            if self._generator is None:
                remote = self._settings.llm_base_url
                self._generator = remote_generator(self._settings) if remote else local_generator(self._settings)
        return self._generator

    def _llm(self) -> Pipeline[LlmRequest]:
        with self._opening:
            if self._llm_pipeline is None:
                model = self._model() if "generator" in self._settings.served else None
                self._llm_pipeline = self._ready(llm_pipeline(self._settings, model, self._own_prompts()))
        return self._llm_pipeline

    def _rag(self) -> Pipeline[RagRequest]:
        with self._opening:
            if self._rag_pipeline is None:
                served = "index" in self._settings.served
                model, retriever = (self._model(), Retriever(self._documents())) if served else (None, None)
                self._rag_pipeline = self._ready(rag_pipeline(self._settings, model, retriever, self._own_prompts()))
        return self._rag_pipeline

    def _agent(self) -> Pipeline[AgentRequest]:
        with self._opening:
            if self._agent_pipeline is None:
                retriever = Retriever(self._documents())
                assert self._folder
                self._sessions = session_store(self._settings, self._folder)
                self._agent_pipeline = agent_pipeline(
                    self._settings, self._model(), retriever, self._own_prompts(), self._sessions
                )
        return self._agent_pipeline

    def _custom(self) -> CustomPipeline:
        with self._opening:
            if self._custom_pipeline is None:
                self._custom_pipeline = self._ready(custom_pipeline(self._settings))
        return self._custom_pipeline

    def _ready(self, pipeline: PipelineT) -> PipelineT:
        if isinstance(pipeline, CustomPipeline):
            self._wait(pipeline.loaded())
        return pipeline

    def _own_prompts(self) -> Prompts | None:
        if self._prompts is None and (found := own_prompts(self._settings)):
            self._wait(found.refresh())
            self._prompts = found
        return self._prompts

    def _documents(self) -> Library:
        with self._opening:
            if self._library is None:
                self._folder = self._folder or DataFolder(self._settings.data_dir)
                self._embedder = self._embedder or local_embedder(self._settings)
                self._library = self._wait(self._opened(self._folder))
        return self._library

    async def _opened(self, folder: DataFolder) -> Library:
        opened = library(self._settings, folder, self._embedder)
        await opened.start()
        if self._settings.seed_docs:
            await seed(opened)
        await _idle(opened)
        return opened

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


async def _finished(documents: Library, asked: DocumentsRequest) -> dict[str, Any]:
    job = await documents.add(asked.documents)
    while not job.finished_at:
        await asyncio.sleep(POLL_S)
        job = await documents.job(job.job_id)
    return job.model_dump(mode="json")


async def _idle(documents: Library) -> None:
    while (info := await documents.info()).waiting or info.vectors == "rebuilding":
        await asyncio.sleep(POLL_S)


_default: LocalAnswerbox | None = None
_making = threading.Lock()


def run_model(request: dict[str, Any], pipeline: PipelineName = "rag") -> dict[str, Any]:
    """Answers with the settings of the environment; the models stay loaded for the next call."""
    global _default
    with _making:
        if _default is None:
            _default = LocalAnswerbox()
    return _default.run_model(request, pipeline)

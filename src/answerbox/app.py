"""The composition root: settings → adapters → pipelines. The only place where they meet.

torch and Chroma are imported inside the functions that need them, so that a process without a model loads neither.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from answerbox.adapters import model_store
from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.fakes import FAKE_GENERATOR, FakeEmbedder, FakeReranker, FakeTokenizer
from answerbox.adapters.generation.chat_tokenizer import ChatTokenizer
from answerbox.adapters.generation.engine import EngineSpec
from answerbox.adapters.generation.local_generator import Limits, LocalGenerator
from answerbox.adapters.generation.model_info import generator_info
from answerbox.adapters.sqlite_feedback import SqliteFeedback
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.adapters.sqlite_sessions import SqliteSessions
from answerbox.contracts import LlmRequest, RagRequest
from answerbox.documents.chunking import Chunker
from answerbox.documents.file_reader import ProcessFileReader
from answerbox.documents.library import Library
from answerbox.documents.uploads import Uploads
from answerbox.errors import SetupError
from answerbox.evaluation.experiment import Keeper
from answerbox.feedback import FeedbackDesk, FeedbackSink
from answerbox.ledger import Ledger
from answerbox.pipelines import custom
from answerbox.pipelines.agent import AgentLimits, AgentPipeline
from answerbox.pipelines.agents.calculator import calculator
from answerbox.pipelines.agents.clock import current_time
from answerbox.pipelines.agents.functions import registered
from answerbox.pipelines.agents.search import SEARCH
from answerbox.pipelines.base import Pipeline
from answerbox.pipelines.custom import CustomPipeline
from answerbox.pipelines.llm import LlmPipeline
from answerbox.pipelines.prompts import NAMES
from answerbox.pipelines.rag import RagPipeline
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Embedder, Generator, Prompts, Tracer, VectorStores
from answerbox.sessions import Sessions
from answerbox.settings import BUILTIN, FAKE, Settings
from answerbox.tools import Tool, ToolServers

if TYPE_CHECKING:
    from answerbox.adapters.openai_generator import OpenAIGenerator
    from answerbox.adapters.otlp_tracer import Count

FAKE_ENGINE = "answerbox.adapters.fakes:FakeEngine"
INSTALLATION = "installation"
STORED_ENGINE = "answerbox.adapters.generation.choice:build"


def llm_pipeline(settings: Settings, generator: Generator | None, prompts: Prompts | None) -> Pipeline[LlmRequest]:
    if settings.llm_pipeline != BUILTIN:
        return custom.load("llm", settings.llm_pipeline, settings.custom_concurrency)
    assert generator
    return LlmPipeline(generator, settings.default_max_tokens, prompts)


def custom_pipeline(settings: Settings) -> CustomPipeline:
    """The operator's own; `custom_pipeline` must be set. It is loaded meanwhile."""
    assert settings.custom_pipeline
    return custom.load("custom", settings.custom_pipeline, settings.custom_concurrency)


def rag_pipeline(
    settings: Settings, generator: Generator | None, retriever: Retriever | None, prompts: Prompts | None
) -> Pipeline[RagRequest]:
    if settings.rag_pipeline != BUILTIN:
        return custom.load("rag", settings.rag_pipeline, settings.custom_concurrency)
    assert generator
    assert retriever
    return _builtin_rag(settings, generator, retriever, prompts)


def agent_pipeline(
    settings: Settings,
    generator: Generator | None,
    retriever: Retriever | None,
    prompts: Prompts | None,
    sessions: Sessions | None,
) -> AgentPipeline:
    """Raises: SetupError where a tool of your own cannot be loaded."""
    assert generator
    assert retriever
    from answerbox.adapters.langgraph_graph import LangGraphGraph  # seconds and 40 MiB, so only where there is an agent

    return AgentPipeline(
        rag=_builtin_rag(settings, generator, retriever, prompts),
        graph=LangGraphGraph(),
        tools=agent_tools(settings),
        limits=AgentLimits(
            steps=settings.agent_max_steps,
            tokens=settings.agent_token_budget,
            tool_timeout_s=settings.tool_timeout_s,
            allowed=settings.allowed_tools,
        ),
        sessions=sessions,
        servers=tool_servers(settings),
    )


def agent_tools(settings: Settings) -> list[Tool]:
    """Those that stand ready for every question; each name is one tool's.

    Raises:
        SetupError: a tool cannot be loaded, a name is taken twice, or a name is allowed that there is not.
    """
    tools = [calculator(), current_time(), *registered(settings.tools)]
    names = [SEARCH, *(tool.spec.name for tool in tools)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SetupError(f"Two tools have the name {', '.join(twice)}.", hint="Name one anew: @tool(name=...).")
    served = tuple(f"{server}__" for server in settings.mcp_servers)  # which tools those have, they say later
    if unknown := sorted(name for name in settings.allowed_tools - set(names) if not name.startswith(served)):
        raise SetupError(
            f"ANSWERBOX_ALLOWED_TOOLS names {', '.join(unknown)}, which there is not.",
            hint=f"There are: {', '.join(names)}.",
        )
    return tools


def tool_servers(settings: Settings) -> ToolServers | None:
    """The MCP servers whose tools the agent may call; None where there are none."""
    if not settings.mcp_servers:
        return None
    from answerbox.adapters.mcp_tools import McpServer, McpServers  # a second and 23 MiB, so only where it is used

    return McpServers(
        [
            McpServer(name, url, settings.mcp_header(name), settings.tool_timeout_s)
            for name, url in settings.mcp_servers.items()
        ]
    )


def _builtin_rag(
    settings: Settings, generator: Generator, retriever: Retriever, prompts: Prompts | None
) -> RagPipeline:
    return RagPipeline(
        generator=generator,
        retriever=retriever,
        default_max_tokens=settings.default_max_tokens,
        default_top_k=settings.default_top_k,
        min_relevance=settings.min_relevance,
        min_coverage=settings.min_coverage,
        prompts=prompts,
    )


def own_prompts(settings: Settings) -> Prompts | None:
    """The operator's own words for the model; None without Langfuse's keys."""
    keys = settings.langfuse_keys
    if keys is None:
        return None
    from answerbox.adapters.langfuse_prompts import LangfusePrompts

    return LangfusePrompts(settings.langfuse_base_url, keys, NAMES, settings.prompt_label)


def local_generator(settings: Settings) -> LocalGenerator:
    """The language model, in a process that this one starts.

    Raises:
        ModelMissing, SetupError: it cannot be loaded.
    """
    limits = Limits(
        queue_tokens=settings.generator_queue_tokens,
        queue_wait_s=settings.generator_queue_wait_s,
        stall_s=settings.generator_stall_s,
    )
    spec = engine_spec(settings)
    if settings.generator_model == FAKE:
        return LocalGenerator(FAKE_GENERATOR, FakeTokenizer(), spec, limits)
    stored = model_store.find(settings.generator_model)
    tokenizer = ChatTokenizer(stored.path)
    return LocalGenerator(generator_info(stored, tokenizer.calls_tools), tokenizer, spec, limits)


def engine_spec(settings: Settings) -> EngineSpec:
    """How to make the engine of the language model, in whatever process. Raises: ModelMissing, SetupError."""
    rows = settings.generator_batch
    if settings.generator_model == FAKE:
        return EngineSpec(FAKE_ENGINE, {"token_delay_s": settings.fake_token_delay_s, "rows": rows})
    stored = model_store.find(settings.generator_model)
    arguments = {
        "name": settings.engine,
        "folder": stored.path,
        "gguf": stored.gguf,
        "device": settings.device,
        "ends": ChatTokenizer(stored.path).ends,
        "rows": rows,
        "tokens": settings.generator_tokens,
    }
    return EngineSpec(STORED_ENGINE, arguments)


def remote_generator(settings: Settings) -> OpenAIGenerator:
    """The language model of another server; `llm_base_url` must be set."""
    assert settings.llm_base_url
    from answerbox.adapters.openai_generator import OpenAIGenerator

    return OpenAIGenerator(
        base_url=settings.llm_base_url,
        model=settings.llm_model,
        api_key=settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
        context_tokens=settings.llm_context_tokens,
        connect_timeout_s=settings.llm_connect_timeout_s,
        silence_timeout_s=settings.llm_silence_timeout_s,
        concurrency=settings.llm_concurrency,
        tools=settings.llm_tools,
    )


def local_embedder(settings: Settings) -> Any:
    """The embedding model in this process: an `Embedder` with `encode(texts)`, which blocks."""
    if settings.embedder_model == FAKE:
        return FakeEmbedder()
    # Before torch is imported: OpenMP's threads spin while they wait, and two models would starve each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # a log is no terminal
    from answerbox.adapters.embedding.local_embedder import load_embedder

    return load_embedder(model_store.find(settings.embedder_model), settings.device)


def local_reranker(settings: Settings) -> Any:
    """The cross-encoder in this process: `rank(question, texts)`, which blocks. Raises: ModelMissing."""
    assert settings.reranker_model
    if settings.reranker_model == FAKE:
        return FakeReranker()
    from answerbox.adapters.transformers_reranker import TransformersReranker

    return TransformersReranker(model_store.find(settings.reranker_model), settings.device)


def tracer(settings: Settings, on_dropped: Count | None = None, on_sent: Count | None = None) -> Tracer | None:
    """What takes traces to Langfuse and to another backend; None where neither is set. Made once in each process.

    The functions are told numbers of spans, from any thread. Raises: SetupError.
    """
    from answerbox.adapters.otlp_backend import backends
    from answerbox.adapters.otlp_tracer import OtlpTracer
    from answerbox.adapters.trace_spans import span_maker

    maker, found = span_maker(settings), backends(settings)
    if not found:
        return None
    sample, content = settings.trace_sample, settings.trace_content
    return OtlpTracer(found, maker, sample=sample, content=content, on_dropped=on_dropped, on_sent=on_sent)


def session_store(settings: Settings, folder: DataFolder) -> SqliteSessions:
    """The conversations, kept in that folder. Raises: IndexUnavailable, SetupError."""
    return SqliteSessions(folder.sessions, settings.session_s)


def feedback_desk(settings: Settings, folder: DataFolder) -> FeedbackDesk:
    """What users say of answers, kept in that folder. Raises: IndexUnavailable, SetupError."""
    return FeedbackDesk(SqliteFeedback(folder.feedback), _feedback_sink(settings))


def _feedback_sink(settings: Settings) -> FeedbackSink | None:
    keys = settings.langfuse_keys
    if keys is None:
        return None
    from answerbox.adapters.langfuse_scores import LangfuseScores  # a second and some memory, so only where it is used
    from answerbox.adapters.masking import hook_of, mask

    hook = hook_of(settings)
    return LangfuseScores(
        settings.langfuse_base_url,
        keys,
        settings.env,
        shown=lambda comment: mask(comment, hook, settings.trace_chars) if settings.trace_content else None,
    )


def experiment_keeper(settings: Settings) -> Callable[[], Keeper]:
    """Makes what keeps evaluations in Langfuse, one for each event loop. Raises: SetupError without its keys."""
    keys = settings.langfuse_keys
    if keys is None:
        raise SetupError(
            "There are no keys for Langfuse.",
            hint="Set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, both of one project.",
        )
    from answerbox.adapters.langfuse_experiments import LangfuseExperiments
    from answerbox.adapters.trace_spans import span_maker

    maker = span_maker(settings)
    return partial(LangfuseExperiments, settings.langfuse_base_url, keys, maker, content=settings.trace_content)


def library(settings: Settings, folder: DataFolder, embedder: Embedder) -> Library:
    """The documents of that folder.

    Raises:
        IndexUnavailable, SetupError
    """
    ledger = SqliteLedger(folder.ledger)
    return Library(
        ledger=ledger,
        stores=_vector_stores(settings, folder, ledger),
        embedder=embedder,
        chunker=_chunker(settings),
        reader=ProcessFileReader(settings.reading_timeout_s, settings.reading_memory_mb),
        uploads=Uploads(folder.uploads),
        former=lambda model: _former_embedder(settings, model),
        patience_s=settings.embedder_timeout_s,
        isolation=settings.isolation,
    )


def _vector_stores(settings: Settings, folder: DataFolder, ledger: Ledger) -> VectorStores:
    if settings.chroma_url:
        from answerbox.adapters.chroma_server import ChromaServer

        return ChromaServer(settings.chroma_url, settings.chroma_timeout_s, installation_of(ledger))
    from answerbox.adapters.chroma_folder import ChromaFolder

    return ChromaFolder(folder.vectors)


def installation_of(ledger: Ledger) -> str:
    """A name that this ledger has for itself, made at the first call."""
    name = ledger.recall(INSTALLATION)
    if name is None:
        name = uuid.uuid4().hex[:8]
        ledger.remember(INSTALLATION, name)
    return name


async def _former_embedder(settings: Settings, model: str) -> Embedder:
    """Raises: ModelMissing."""
    load = partial(local_embedder, settings.model_copy(update={"embedder_model": model}))
    embedder: Embedder = await asyncio.to_thread(load)
    return embedder


def _chunker(settings: Settings) -> Chunker:
    """Raises: ModelMissing."""
    capacity, overlap = settings.chunk_tokens, settings.chunk_overlap
    if settings.embedder_model == FAKE:
        return Chunker(lambda text: len(text.split()), capacity, overlap)
    from answerbox.adapters.token_length import token_length

    stored = model_store.find(settings.embedder_model)
    languages = tuple(stored.metadata.get("languages", ()))
    return Chunker(token_length(stored), capacity, overlap, languages, stored.name)

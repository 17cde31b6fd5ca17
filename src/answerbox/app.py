"""The composition root: settings → adapters → pipelines. The only place where they meet.

torch and Chroma are imported inside the functions that need them, so that a process without a model loads neither.
"""

from __future__ import annotations

import os
from typing import Any

from answerbox.adapters import model_store
from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.fakes import FakeEmbedder, FakeGenerator
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import LlmRequest, RagRequest
from answerbox.documents.chunking import Chunker, Measure
from answerbox.documents.library import Library
from answerbox.pipelines import custom
from answerbox.pipelines.base import Pipeline
from answerbox.pipelines.llm import LlmPipeline
from answerbox.pipelines.rag import RagPipeline
from answerbox.pipelines.retrieval import Retriever
from answerbox.ports import Embedder, Generator
from answerbox.settings import BUILTIN, FAKE, Settings


def llm_pipeline(settings: Settings, generator: Generator) -> Pipeline[LlmRequest]:
    """Raises: SetupError where a pipeline of your own cannot be loaded."""
    if settings.llm_pipeline != BUILTIN:
        return custom.load("llm", settings.llm_pipeline)
    return LlmPipeline(generator, settings.default_max_tokens)


def rag_pipeline(settings: Settings, generator: Generator, retriever: Retriever) -> Pipeline[RagRequest]:
    """Raises: SetupError where a pipeline of your own cannot be loaded."""
    if settings.rag_pipeline != BUILTIN:
        return custom.load("rag", settings.rag_pipeline)
    return RagPipeline(
        generator=generator,
        retriever=retriever,
        default_max_tokens=settings.default_max_tokens,
        default_top_k=settings.default_top_k,
        min_relevance=settings.min_relevance,
        min_coverage=settings.min_coverage,
    )


def local_generator(settings: Settings) -> Any:
    """The language model in this process: a `Generator` with `generated`, the tokens made so far."""
    if settings.generator_model == FAKE:
        return FakeGenerator(settings.fake_token_delay_s)
    _prepare_for_torch()
    from answerbox.adapters.transformers_generator import TransformersGenerator

    stored = model_store.find(settings.generator_model)
    return TransformersGenerator(stored, settings.device, settings.generator_batch)


def local_embedder(settings: Settings) -> Any:
    """The embedding model in this process: an `Embedder` with `encode(texts)`, which blocks."""
    if settings.embedder_model == FAKE:
        return FakeEmbedder()
    _prepare_for_torch()
    from answerbox.adapters.transformers_embedder import TransformersEmbedder

    return TransformersEmbedder(model_store.find(settings.embedder_model), settings.device)


async def library(settings: Settings, folder: DataFolder, embedder: Embedder) -> Library:
    """The documents of that folder. Asks the embedder which vectors it makes.

    Raises:
        EmbedderUnavailable, IndexUnavailable, SetupError
    """
    from answerbox.adapters.chroma_vectors import ChromaVectors

    info = await embedder.info()
    return Library(
        ledger=SqliteLedger(folder.ledger),
        vectors=ChromaVectors(folder.vectors, info.fingerprint),
        embedder=embedder,
        chunker=Chunker(_measure(settings), settings.chunk_tokens),
    )


def _prepare_for_torch() -> None:
    """Before torch is imported: OpenMP's threads spin while they wait, and two models would starve each other."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # a log is no terminal


def _measure(settings: Settings) -> Measure:
    if settings.embedder_model == FAKE:
        return lambda text: len(text.split())
    from answerbox.adapters.token_length import token_length

    return token_length(model_store.find(settings.embedder_model))

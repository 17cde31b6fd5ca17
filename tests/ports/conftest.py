"""The implementations of each port, real models loaded once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from answerbox.adapters.embedding.local_embedder import LocalEmbedder, load_embedder
from answerbox.adapters.embedding.transformers_model import TransformersModel
from answerbox.adapters.generation.local_generator import LocalGenerator
from answerbox.adapters.model_store import find
from answerbox.adapters.openai_generator import OpenAIGenerator
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.adapters.twins import TwinGenerators
from answerbox.app import local_generator
from answerbox.ledger import Ledger
from answerbox.ports import Generator
from answerbox.settings import Settings
from tests.openai_server import connected
from tests.ports.chroma_run import chroma_run
from tests.ports.transformers_serve import MODEL, transformers_serve

ENGINES = ("fake", "openvino", "transformers", "continuous")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """On a machine with other work each token would wait for the slowest thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def engine(name: str) -> Iterator[LocalGenerator]:
    if name == "fake":  # it takes its time, so that there is something to interrupt
        settings = Settings(generator_model="fake", fake_token_delay_s=0.002)
    else:
        settings = Settings.model_validate({"engine": name, "generator_batch": 8})
    made = local_generator(settings)
    yield made
    made.close()


@pytest.fixture(scope="session")
def fake() -> Iterator[LocalGenerator]:
    yield from engine("fake")


@pytest.fixture(scope="session")
def openvino() -> Iterator[LocalGenerator]:
    yield from engine("openvino")


@pytest.fixture(scope="session")
def transformers() -> Iterator[LocalGenerator]:
    yield from engine("transformers")


@pytest.fixture(scope="session")
def continuous() -> Iterator[LocalGenerator]:
    yield from engine("continuous")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_serve(tmp_path_factory.mktemp("transformers-serve")) as url:
        yield url


@pytest.fixture
async def remote(served: str) -> AsyncIterator[OpenAIGenerator]:
    model = str(find(MODEL).path)
    async with connected(served, model=model, context_tokens=2_048, silence_timeout_s=60.0, concurrency=16) as made:
        yield made


@pytest.fixture(params=ENGINES)
def local(request: pytest.FixtureRequest) -> LocalGenerator:
    """Each engine of our own, loaded once."""
    found: LocalGenerator = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def twins(fake: LocalGenerator) -> TwinGenerators:
    return TwinGenerators([cast(Any, fake), cast(Any, fake)])


@pytest.fixture(params=[*ENGINES, "twins", "remote"])
def generator(request: pytest.FixtureRequest) -> Generator:
    """Those, two of them as one, and a server that speaks OpenAI's protocol."""
    found: Generator = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=[SqliteLedger], ids=["sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    ledger: Ledger = request.param(tmp_path / "ledger")
    yield ledger
    ledger.close()


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chroma_run(tmp_path_factory.mktemp("chroma-run")) as server:
        yield server.url


@pytest.fixture(scope="session")
def minilm() -> LocalEmbedder:
    return load_embedder(find("all-minilm-l6-v2"), "cpu")


@pytest.fixture(scope="session")
def minilm_torch() -> LocalEmbedder:
    stored = find("all-minilm-l6-v2")
    return LocalEmbedder(stored, TransformersModel(stored, "cpu"))

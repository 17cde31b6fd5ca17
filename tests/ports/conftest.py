"""The implementations of each port, real models loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from answerbox.adapters.generation.local_generator import LocalGenerator
from answerbox.adapters.model_store import find
from answerbox.adapters.transformers_embedder import TransformersEmbedder
from answerbox.app import local_generator
from answerbox.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """On a machine with other work each token would wait for the slowest thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=["fake", "openvino", "transformers", "continuous"])
def generator(request: pytest.FixtureRequest) -> Iterator[LocalGenerator]:
    """Each engine, loaded once. The fake one takes its time, so that there is something to interrupt."""
    if request.param == "fake":
        settings = Settings(generator_model="fake", fake_token_delay_s=0.002)
    else:
        settings = Settings(engine=request.param, generator_batch=8)
    made = local_generator(settings)
    yield made
    made.close()


@pytest.fixture(scope="session")
def minilm() -> TransformersEmbedder:
    return TransformersEmbedder(find("all-minilm-l6-v2"), "cpu")

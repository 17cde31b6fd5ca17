"""The implementations of each port, real models loaded once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from answerbox.adapters.model_store import find
from answerbox.adapters.transformers_embedder import TransformersEmbedder
from answerbox.adapters.transformers_generator import TransformersGenerator


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """On a machine with other work each token would wait for the slowest thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def smollm() -> Iterator[TransformersGenerator]:
    generator = TransformersGenerator(find("smollm2-135m-instruct"), "cpu", batch=8)
    yield generator
    generator.close()


@pytest.fixture(scope="session")
def minilm() -> TransformersEmbedder:
    return TransformersEmbedder(find("all-minilm-l6-v2"), "cpu")

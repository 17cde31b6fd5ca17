"""Every `Embedder` keeps the port's promises: the shipped double and a real model, with OpenVINO and with torch."""

from __future__ import annotations

import asyncio
import math

import pytest

from answerbox.adapters.embedding.local_embedder import LocalEmbedder
from answerbox.adapters.fakes import FakeEmbedder
from answerbox.adapters.model_store import find
from answerbox.ports import Embedder, Vector

TEXTS = [
    "Paris is the capital of France.",
    "bread",
    "Ёлка 🙂 и много других слов, которых модель не знает.",
    "",
    "A much longer text about bread. " * 40,
    "The capital of Germany is Berlin.",
    "bread",
    "\x00 \u200b",
    *(f"Sentence number {number}." for number in range(20)),
]


@pytest.fixture(params=["fake", "minilm", "minilm_torch"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "fake":
        return FakeEmbedder()
    found: Embedder = request.getfixturevalue(request.param)
    return found


def cosine(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_every_vector_has_norm_1_and_the_promised_length(embedder: Embedder) -> None:
    info = await embedder.info()
    for vector in await embedder.embed(TEXTS, "passage"):
        assert len(vector) == info.dimension
        assert math.sqrt(cosine(vector, vector)) == pytest.approx(1.0, abs=1e-4)


async def test_a_row_of_a_batch_is_what_the_text_gives_alone(embedder: Embedder) -> None:
    batch = await embedder.embed(TEXTS, "passage")
    assert len(batch) == len(TEXTS)
    for text, row in zip(TEXTS, batch, strict=True):
        [single] = await embedder.embed([text], "passage")
        assert row == pytest.approx(single, abs=1e-5)


async def test_calls_at_the_same_time_do_not_mix(embedder: Embedder) -> None:
    alone = [(await embedder.embed([text], "query"))[0] for text in TEXTS[:6]]
    together = await asyncio.gather(*(embedder.embed([text], "query") for text in TEXTS[:6]))
    for (vector,), expected in zip(together, alone, strict=True):
        assert vector == pytest.approx(expected, abs=1e-5)


async def test_no_texts_give_no_vectors(embedder: Embedder) -> None:
    assert await embedder.embed([], "passage") == []


async def test_like_texts_are_nearer_than_unlike_ones(embedder: Embedder) -> None:
    question, answer, other = await embedder.embed(
        ["What is the capital of France?", "Paris is the capital of France.", "My bread is burnt."], "passage"
    )
    assert cosine(question, answer) > cosine(question, other) + 0.2


async def test_the_model_says_what_it_is(minilm: LocalEmbedder) -> None:
    info = await minilm.info()
    assert (info.dimension, info.languages) == (384, ("en",))
    assert len(info.fingerprint) == 64


async def test_prefixes_are_put_before_texts_of_their_kind(minilm: LocalEmbedder) -> None:
    info = await minilm.info()
    assert info.prefixed(["a"], "query") == ["a"]


async def test_openvino_and_torch_give_the_same_vectors(minilm: LocalEmbedder, minilm_torch: LocalEmbedder) -> None:
    assert find("all-minilm-l6-v2").openvino
    pairs = zip(await minilm.embed(TEXTS, "passage"), await minilm_torch.embed(TEXTS, "passage"), strict=True)
    for one, other in pairs:
        assert one == pytest.approx(other, abs=1e-4)


def test_a_length_counts_every_token_that_the_model_would_be_given(minilm: LocalEmbedder) -> None:
    assert minilm.lengths(["bread", "bread " * 600]) == [3, 602]
    assert 3 < minilm.max_tokens < 602

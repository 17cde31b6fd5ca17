"""What the shipped doubles promise beyond their ports."""

from __future__ import annotations

import time

from answerbox.adapters.fakes import FakeEmbedder, FakeGenerator
from answerbox.ports import Finish, GenerationRequest, Message, Piece


def request(text: str, max_tokens: int = 50) -> GenerationRequest:
    return GenerationRequest("r", (Message("system", "one two"), Message("user", text)), max_tokens)


async def test_the_fake_model_repeats_the_last_message() -> None:
    items = [item async for item in FakeGenerator().generate(request("Раз, два three"))]
    assert items == [Piece("Раз,"), Piece(" два"), Piece(" three"), Finish("stop", 5, 3)]


async def test_the_fake_model_takes_its_time_per_word() -> None:
    began = time.monotonic()
    assert [item async for item in FakeGenerator(0.02).generate(request("a b c"))]
    assert time.monotonic() - began >= 0.05


async def test_texts_that_share_words_are_nearer_than_others() -> None:
    bread, loaf, fish = await FakeEmbedder().embed(["bread and butter", "butter on bread", "fish"], "passage")

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(bread, loaf) > 0.6 > cosine(bread, fish)

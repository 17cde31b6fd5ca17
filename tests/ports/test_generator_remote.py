"""What only a real OpenAI-compatible server can show: that it stops, counts, and knows its models."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from answerbox.adapters.model_store import find
from answerbox.adapters.openai_generator import OpenAIGenerator
from answerbox.errors import GeneratorUnavailable
from answerbox.ports import Finish, GeneratorInfo, Piece
from tests.openai_server import connected
from tests.ports.test_generator import ask, run
from tests.ports.transformers_serve import MODEL

LONG = "Tell me a very long story about a dog that goes to the market and buys bread."
SOON_S = 10.0
"""Much less than the rest of a long story takes; that server has one request at a time."""


async def test_it_says_what_it_is(remote: OpenAIGenerator) -> None:
    assert await remote.info() == GeneratorInfo(str(find(MODEL).path), 2_048)


async def test_its_own_count_is_the_usage(remote: OpenAIGenerator) -> None:
    text, finish = await run(remote, ask("What is the capital of France? Answer in one sentence.", 24))
    assert "Paris" in text
    assert finish.reason == "stop"
    assert finish.prompt_tokens > 15
    assert 4 < finish.completion_tokens <= 24


async def test_its_usage_is_read_after_a_stop_string(remote: OpenAIGenerator) -> None:
    whole, _ = await run(remote, ask(LONG, 12))
    text, finish = await run(remote, ask(LONG, 12, stop=(whole.split()[3],)))
    assert whole.startswith(text)
    assert 0 < finish.completion_tokens < 12
    assert finish.prompt_tokens


async def test_closing_early_stops_the_server(remote: OpenAIGenerator) -> None:
    async with aclosing(remote.generate(ask(LONG, 1_000))) as items:
        assert isinstance(await anext(items), Piece)
    _, finish = await run(remote, ask(LONG, 2, timeout_s=SOON_S))
    assert finish.reason == "length"


async def test_cancelling_ends_it_with_what_there_is_and_stops_the_server(remote: OpenAIGenerator) -> None:
    async with aclosing(remote.generate(ask(LONG, 1_000))) as items:
        assert isinstance(await anext(items), Piece)
        assert await remote.cancel("r")
        assert await anext(items) == Finish("cancelled", 0, 1)
    _, finish = await run(remote, ask(LONG, 2, timeout_s=SOON_S))
    assert finish.reason == "length"


async def test_when_the_time_is_up_what_there_is_is_the_answer(remote: OpenAIGenerator) -> None:
    text, finish = await run(remote, ask(LONG, 1_000, timeout_s=2.0))
    assert text
    assert finish.reason == "deadline"
    assert 0 < finish.completion_tokens < 1_000


async def test_a_model_that_the_server_does_not_have_makes_it_unavailable(served: str) -> None:
    async with connected(served, model="another") as generator:
        with pytest.raises(GeneratorUnavailable):
            await run(generator, ask("Hello?"))

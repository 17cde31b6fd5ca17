"""The `Generator` port against a real OpenAI-compatible server: `transformers serve` with the embedded model."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from answerbox.adapters.model_store import find
from answerbox.adapters.openai_generator import OpenAIGenerator
from answerbox.errors import GeneratorUnavailable
from answerbox.ports import Finish, GenerationRequest, GeneratorInfo, Message, Piece
from tests.live import BIN, START_LIMIT_S, STOP_LIMIT_S, free_port, wait_until
from tests.openai_server import connected

MODEL = "smollm2-135m-instruct"
LONG = "Tell me a very long story about a dog that goes to the market and buys bread."
SOON_S = 10.0
"""Much less than the rest of a long story takes; that server has one request at a time."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("transformers-serve")
    (folder / "hub").mkdir()  # without a cache that server cannot list its models
    port = free_port()
    command = [BIN / "transformers", "serve", find(MODEL).path, "--host", "127.0.0.1", "--port", str(port)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen(
            [*map(str, command), "--device", "cpu"],
            env=env,
            cwd=folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _healthy(process, port, folder / "log"), START_LIMIT_S, "the server answers")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _stop(process)


def _healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()[-5_000:]
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success
    except httpx.TransportError:
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
async def generator(url: str) -> AsyncIterator[OpenAIGenerator]:
    async with connected(url, model=str(find(MODEL).path), context_tokens=2_048, silence_timeout_s=60.0) as made:
        yield made


def ask(text: str, max_tokens: int = 6, **options: Any) -> GenerationRequest:
    request = GenerationRequest("r", (Message("system", "Be brief."), Message("user", text)), max_tokens)
    return replace(request, **options)


async def run(generator: OpenAIGenerator, request: GenerationRequest) -> tuple[str, Finish]:
    *pieces, last = [item async for item in generator.generate(request)]
    assert isinstance(last, Finish)
    assert all(isinstance(piece, Piece) and piece.text for piece in pieces)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), last


async def test_it_says_what_it_is(generator: OpenAIGenerator) -> None:
    assert await generator.info() == GeneratorInfo(str(find(MODEL).path), 2_048)


async def test_a_generation_is_text_and_then_its_end_with_the_usage(generator: OpenAIGenerator) -> None:
    text, finish = await run(generator, ask("What is the capital of France? Answer in one sentence.", 24))
    assert "Paris" in text
    assert finish.reason == "stop"
    assert finish.prompt_tokens > 15
    assert 4 < finish.completion_tokens <= 24


async def test_it_ends_at_max_tokens(generator: OpenAIGenerator) -> None:
    text, finish = await run(generator, ask(LONG, 4))
    assert (finish.reason, finish.completion_tokens) == ("length", 4)
    assert text


async def test_greedy_generation_is_repeatable(generator: OpenAIGenerator) -> None:
    assert await run(generator, ask(LONG)) == await run(generator, ask(LONG))


async def test_the_text_ends_before_a_stop_string(generator: OpenAIGenerator) -> None:
    # That server ends at the stop string, and sends it; other servers keep it to themselves.
    whole, _ = await run(generator, ask(LONG, 12))
    stop = whole.split()[3]
    text, finish = await run(generator, ask(LONG, 12, stop=(stop,)))
    assert text == whole[: whole.index(stop)]
    assert finish.reason == "stop"
    assert 0 < finish.completion_tokens < 12
    assert finish.prompt_tokens, "the usage that comes after it is read"


async def test_several_at_a_time_are_all_answered(generator: OpenAIGenerator) -> None:
    requests = [ask(f"Say the number {number}.", 2 + number) for number in range(4)]
    alone = [await run(generator, request) for request in requests]
    assert await asyncio.gather(*(run(generator, request) for request in requests)) == alone


async def test_closing_early_stops_the_server(generator: OpenAIGenerator) -> None:
    async with aclosing(generator.generate(ask(LONG, 1_000))) as items:
        assert isinstance(await anext(items), Piece)
    _, finish = await run(generator, ask(LONG, 2, timeout_s=SOON_S))
    assert finish.reason == "length"


async def test_cancelling_ends_it_with_what_there_is_and_stops_the_server(generator: OpenAIGenerator) -> None:
    async with aclosing(generator.generate(ask(LONG, 1_000))) as items:
        assert isinstance(await anext(items), Piece)
        assert await generator.cancel("r")
        assert await anext(items) == Finish("cancelled", 0, 1)
    _, finish = await run(generator, ask(LONG, 2, timeout_s=SOON_S))
    assert finish.reason == "length"


async def test_when_the_time_is_up_what_there_is_is_the_answer(generator: OpenAIGenerator) -> None:
    text, finish = await run(generator, ask(LONG, 1_000, timeout_s=2.0))
    assert text
    assert finish.reason == "deadline"
    assert 0 < finish.completion_tokens < 1_000


async def test_a_model_that_the_server_does_not_have_makes_it_unavailable(url: str) -> None:
    async with connected(url, model="another") as generator:
        with pytest.raises(GeneratorUnavailable):
            await run(generator, ask("Hello?"))

"""What an OpenAI-compatible server says of its models, and what is made of that."""

from __future__ import annotations

from typing import Any

import pytest

from answerbox.adapters.openai_generator import OpenAIGenerator
from answerbox.errors import BadUpstream, GeneratorUnavailable
from answerbox.ports import GenerationRequest, GeneratorInfo, Message
from tests.openai_server import Answer, OpenAIServer, connected


async def run(generator: OpenAIGenerator) -> None:
    request = GenerationRequest("r1", (Message("user", "Hello?"),), max_tokens=16)
    assert [item async for item in generator.generate(request)]


@pytest.mark.parametrize(
    ("entry", "tokens"),
    [
        ({}, 8_192),
        ({"max_model_len": 32_768}, 32_768),
        ({"context_length": 131_072, "max_model_len": None}, 131_072),
        ({"meta": {"n_ctx_train": 4_096, "n_params": 7}}, 4_096),
        ({"meta": None}, 8_192),
    ],
)
async def test_the_window_is_what_the_server_tells_or_what_is_set(
    server: OpenAIServer, entry: dict[str, Any], tokens: int
) -> None:
    server.models = {"data": [{"id": "first", **entry}, {"id": "second", "max_model_len": 1}]}
    async with connected(server.url, model=None) as generator:
        assert await generator.info() == GeneratorInfo("first", tokens)
        await run(generator)
    assert server.asked[0]["model"] == "first"
    assert server.listed == 1, "it is remembered"


async def test_the_model_that_is_set_is_looked_up_in_the_list(server: OpenAIServer) -> None:
    server.models = {"data": [{"id": "first", "max_model_len": 1}, {"id": "second", "max_model_len": 512}]}
    async with connected(server.url, model="second") as generator:
        assert await generator.probe() == {"model": "second", "context_tokens": 512}
    async with connected(server.url, model="unlisted") as generator:
        assert await generator.info() == GeneratorInfo("unlisted", 8_192)


async def test_a_failure_is_not_remembered_and_a_probe_asks_anew(server: OpenAIServer) -> None:
    server.models_status = 500
    async with connected(server.url, model=None) as generator:
        with pytest.raises(GeneratorUnavailable):
            await generator.info()
        server.models_status = 200
        await generator.info()
        server.models_status = 500
        await generator.info()
        with pytest.raises(GeneratorUnavailable):
            await generator.probe()


async def test_a_server_without_a_list_needs_the_name_of_the_model(server: OpenAIServer) -> None:
    server.models_status = 404
    async with connected(server.url) as generator:
        assert await generator.info() == GeneratorInfo("scripted", 8_192)
    for models, status in (({}, 404), ({"data": []}, 200), ({"data": None}, 200)):
        server.models, server.models_status = models, status
        async with connected(server.url, model=None) as generator:
            with pytest.raises(GeneratorUnavailable):
                await generator.info()


async def test_another_model_in_the_place_of_the_first_is_found(server: OpenAIServer) -> None:
    async with connected(server.url, model=None) as generator:
        await run(generator)
        server.models = {"data": [{"id": "next"}]}
        server.answers = [Answer(status=404, body={"error": {"message": "no such model"}})]
        with pytest.raises(GeneratorUnavailable):
            await run(generator)
        await run(generator)
    assert [body["model"] for body in server.asked] == ["scripted", "scripted", "next"]


@pytest.mark.parametrize("models", ["<html>Welcome</html>", [], {"object": "list"}, {"data": [{"name": "x"}]}])
async def test_a_list_that_makes_no_sense_is_told_as_such(server: OpenAIServer, models: Any) -> None:
    server.models = models
    async with connected(server.url, model=None) as generator:
        with pytest.raises(BadUpstream):
            await generator.info()

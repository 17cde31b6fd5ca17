"""Whatever goes wrong at an OpenAI-compatible server is a failure of ours, and its words stay in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from time import time
from typing import Any

import httpx2
import openai
import pytest

from answerbox.adapters.openai_errors import ERRORS
from answerbox.adapters.openai_generator import OpenAIGenerator
from answerbox.errors import AnswerboxError, BadUpstream, GeneratorUnavailable, Overloaded, PromptTooLong
from answerbox.ports import GenerationRequest, Message
from tests.openai_server import Answer, OpenAIServer, connected

ASK = GenerationRequest("r1", (Message("user", "What is the capital of France?"),), max_tokens=16)
SECRET = "sk-very-secret"
WORDS = f"quota of account 4711 with the key {SECRET}"


async def failure(url: str, **settings: Any) -> AnswerboxError:
    async with connected(url, api_key=SECRET, **settings) as generator:
        with pytest.raises(AnswerboxError) as caught:
            await _read(generator)
    return caught.value


async def _read(generator: OpenAIGenerator) -> None:
    async for _ in generator.generate(ASK):
        pass


def _classes(root: type[Exception]) -> Iterator[type[Exception]]:
    """Those of its own package; other packages make theirs below them."""
    yield root
    for child in root.__subclasses__():
        if child.__module__.partition(".")[0] == root.__module__.partition(".")[0]:
            yield from _classes(child)


@pytest.mark.parametrize("vendor", sorted(set(_classes(openai.APIError)), key=str))
def test_every_error_of_the_client_has_a_row(vendor: type[Exception]) -> None:
    assert vendor in ERRORS


def test_every_error_of_its_transport_is_below_one_that_has_a_row() -> None:
    assert all(issubclass(cls, httpx2.HTTPError) for cls in _classes(httpx2.TransportError))
    assert httpx2.HTTPError in ERRORS


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, GeneratorUnavailable),
        (401, GeneratorUnavailable),
        (403, GeneratorUnavailable),
        (404, GeneratorUnavailable),
        (409, GeneratorUnavailable),
        (418, GeneratorUnavailable),
        (422, GeneratorUnavailable),
        (429, Overloaded),
        (500, GeneratorUnavailable),
        (502, GeneratorUnavailable),
        (503, Overloaded),
        (504, GeneratorUnavailable),
    ],
)
@pytest.mark.parametrize("shape", ["openai", "flat", "text"])
async def test_a_status_is_translated_once_and_leaks_nothing(
    server: OpenAIServer,
    caplog: pytest.LogCaptureFixture,
    status: int,
    expected: type[AnswerboxError],
    shape: str,
) -> None:
    bodies = {"openai": {"error": {"message": WORDS, "type": "x", "code": status}}, "flat": {"detail": WORDS}}
    server.answer = Answer(status=status, body=bodies.get(shape, WORDS))
    error = await failure(server.url)
    assert type(error) is expected
    told = json.dumps(error.to_wire())
    assert "4711" not in told
    assert SECRET not in told
    assert "4711" in caplog.text, "the operator needs it"
    assert SECRET not in caplog.text
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        (None, 1, 1),
        ("7", 7, 7),
        ("1.2", 2, 2),
        ("0", 1, 1),
        ("soon", 1, 1),
        ("99999999", 600, 600),
        ("date", 25, 30),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_says_when_to_come_again(
    server: OpenAIServer, header: str | None, least: int, most: int, status: int
) -> None:
    value = formatdate(time() + 30, usegmt=True) if header == "date" else header
    server.answer = Answer(status=status, body={}, headers={"Retry-After": value} if value else {})
    error = await failure(server.url)
    assert isinstance(error, Overloaded)
    assert least <= error.extra["retry_after_s"] <= most


OPENAI = (
    "This model's maximum context length is 4097 tokens. However, you requested 5360 tokens (1360 in the messages, "
    "4000 in the completion). Please reduce the length of the messages or completion."
)
SEEN = "This model's maximum context length is 4097 tokens. However, your messages resulted in 6164 tokens."
VLLM = (
    "'max_tokens' or 'max_completion_tokens' is too large: 100. This model's maximum context length is 2048 tokens "
    "and your request has 2000 input tokens (100 > 2048 - 2000)."
)
VLLM_PASSED = (
    "You passed 5001 input tokens and requested 16 output tokens. However, the model's context length is only 4096 "
    "tokens, resulting in a maximum input length of 4080 tokens."
)
VLLM_PROMPT = "The decoder prompt (length 5000) is longer than the maximum model length of 2048."
SGLANG = (
    "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested a total of 9000 "
    "tokens: 8000 tokens from the input messages and 1000 tokens for the completion."
)
SGLANG_INPUT = "The input (5000 tokens) is longer than the model's context length (4096 tokens)."
LLAMA = "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it"
LLAMA_FIELDS = {
    "code": 400,
    "message": "the request exceeds the available context size. try increasing the context size",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 14_429,
    "n_ctx": 8_192,
}


@pytest.mark.parametrize(
    ("status", "error", "numbers"),
    [
        (400, {"message": OPENAI, "code": "context_length_exceeded"}, (1360, 4097)),
        (400, {"message": SEEN, "code": "context_length_exceeded"}, (6164, 4097)),
        (400, {"message": VLLM, "code": 400}, (2000, 2048)),
        (400, {"message": VLLM_PASSED, "code": 400}, (5001, 4096)),
        (422, {"message": VLLM_PROMPT}, (5000, 2048)),
        (400, {"message": SGLANG}, (8000, 8192)),
        (400, {"message": SGLANG_INPUT}, (5000, 4096)),
        (400, {"message": LLAMA}, (5000, 4096)),
        (400, LLAMA_FIELDS, (14_429, 8_192)),
        (500, LLAMA_FIELDS, (14_429, 8_192)),
        (413, {"message": "Too much.", "code": "context_length_exceeded"}, None),
        (400, {"message": "Please shorten it to the context window."}, None),
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
async def test_a_prompt_that_is_too_long_is_told_with_the_numbers_that_the_server_gives(
    server: OpenAIServer, status: int, error: dict[str, Any], numbers: tuple[int, int] | None, wrapped: bool
) -> None:
    server.answer = Answer(status=status, body={"error": error} if wrapped else error)
    found = await failure(server.url)
    assert isinstance(found, PromptTooLong)
    assert found.extra == ({"prompt_tokens": numbers[0], "limit": numbers[1]} if numbers else {})
    assert found.hint


async def test_a_prompt_that_is_too_long_may_be_told_inside_the_stream(server: OpenAIServer) -> None:
    server.answer = Answer(lines=[json.dumps({"error": LLAMA_FIELDS})])
    assert isinstance(await failure(server.url), PromptTooLong)


async def test_an_error_inside_the_stream_is_a_failure_that_leaks_nothing(server: OpenAIServer) -> None:
    server.answer = Answer(lines=[json.dumps({"error": {"message": WORDS}})])
    error = await failure(server.url)
    assert type(error) is GeneratorUnavailable
    assert "4711" not in str(error)


@pytest.mark.parametrize(
    "line",
    ["{broken", "null and void", "[1]", '"text"', "{}", '{"choices": 1}', '{"choices": [{"delta": {"content": [1]}}]}'],
)
async def test_events_that_make_no_sense_are_told_as_such(server: OpenAIServer, line: str) -> None:
    server.answer = Answer(lines=[line])
    assert type(await failure(server.url)) is BadUpstream


@pytest.mark.parametrize("body", ["<html>Welcome to the portal</html>", {"choices": [{"message": {"content": "Hi"}}]}])
async def test_an_answer_that_is_no_stream_is_told_as_such(server: OpenAIServer, body: Any) -> None:
    server.answer = Answer(body=body)
    assert type(await failure(server.url)) is BadUpstream


@asynccontextmanager
async def answering(raw: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that answers every request with these bytes and hangs up: its URL, and an item for each request."""
    requests = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        requests.append(1)
        writer.write(raw)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", requests


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\n{", id="half an error"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n:", id="half"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="another protocol"),
    ],
)
async def test_a_server_that_hangs_up_before_the_first_token_is_tried_again(raw: bytes) -> None:
    async with answering(raw) as (url, requests):
        assert type(await failure(url)) is GeneratorUnavailable
        assert len(requests) == 3


@pytest.mark.parametrize("detail", ["{}", 'the input was "{}"'])
async def test_what_was_asked_stays_out_of_the_log_though_a_server_repeats_it(
    server: OpenAIServer, caplog: pytest.LogCaptureFixture, detail: str
) -> None:
    repeated = detail.format(ASK.messages[0].content)
    server.answer = Answer(status=422, body={"detail": [{"msg": "no such role", "input": repeated}]})
    await failure(server.url)
    assert "no such role" in caplog.text
    assert "France" not in caplog.text

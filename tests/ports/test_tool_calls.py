"""Tools through the `Generator` port, over a server that speaks OpenAI's protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from answerbox.adapters.generation.local_generator import LocalGenerator
from answerbox.errors import BadUpstream
from answerbox.ports import Finish, GenerationRequest, Message, Piece
from answerbox.tools import ToolCall, ToolSpec
from tests.openai_server import Answer, OpenAIServer, calling, connected, openai_server

WEATHER = ToolSpec("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
QUESTION = Message("user", "How is the weather?")
PARIS = ToolCall("id-0", "weather", '{"city": "Paris"}')


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    running.renew()
    return running


def ask(*messages: Message) -> GenerationRequest:
    return GenerationRequest("r", messages or (QUESTION,), 20, tools=(WEATHER,))


async def run(server: OpenAIServer, request: GenerationRequest) -> tuple[str, Finish]:
    async with connected(server.url, tools=True) as generator:
        *pieces, last = [item async for item in generator.generate(request)]
    assert isinstance(last, Finish)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), last


@pytest.mark.parametrize("tools", [True, False])
async def test_it_says_whether_its_model_calls_tools(server: OpenAIServer, tools: bool) -> None:
    async with connected(server.url, tools=tools) as generator:
        assert (await generator.info()).tools is tools


async def test_a_call_comes_out_whole_and_after_the_text(server: OpenAIServer) -> None:
    server.answer = calling(("weather", PARIS.arguments), words=("Let", " me", " look."))
    text, finish = await run(server, ask())
    assert (text, finish.reason, finish.tool_calls) == ("Let me look.", "stop", (PARIS,))
    assert finish.completion_tokens == 4


async def test_calls_come_in_their_order(server: OpenAIServer) -> None:
    server.answer = calling(("weather", '{"city": "Рим"}'), ("clock", ""))
    _, finish = await run(server, ask())
    assert finish.tool_calls == (ToolCall("id-0", "weather", '{"city": "Рим"}'), ToolCall("id-1", "clock", ""))


async def test_tools_and_earlier_calls_are_sent_as_the_protocol_has_them(server: OpenAIServer) -> None:
    told = Message("tool", "Sunny.", tool_call_id="id-0")
    await run(server, ask(QUESTION, Message("assistant", "", (PARIS,)), told))
    sent = server.asked[-1]
    function = {"name": "weather", "description": "The weather.", "parameters": WEATHER.parameters}
    assert sent["tools"] == [{"type": "function", "function": function}]
    call = {"id": "id-0", "type": "function", "function": {"name": "weather", "arguments": PARIS.arguments}}
    assert sent["messages"][1:] == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "Sunny.", "tool_call_id": "id-0"},
    ]


async def test_without_tools_none_are_sent(server: OpenAIServer) -> None:
    await run(server, GenerationRequest("r", (QUESTION,), 20))
    assert "tools" not in server.asked[-1]
    assert server.asked[-1]["messages"] == [{"role": "user", "content": QUESTION.content}]


async def test_a_call_that_was_cut_is_none(server: OpenAIServer) -> None:
    server.answer = Answer((), [("weather", PARIS.arguments)], finish="length")
    _, finish = await run(server, ask())
    assert (finish.reason, finish.tool_calls) == ("length", ())


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([("weather", "x" * 70_000)], id="too-long"),
        pytest.param([("weather", "{}")] * 33, id="too-many"),
    ],
)
async def test_a_server_that_wants_too_much_is_not_believed(server: OpenAIServer, calls: list[tuple[str, str]]) -> None:
    server.answer = calling(*calls)
    with pytest.raises(BadUpstream):
        await run(server, ask())


async def test_a_local_models_calls_are_read_out_of_its_text(fake: LocalGenerator) -> None:
    said = Message("user", 'Well. <tool_call> {"name": "weather", "arguments": {"city": "Rome"}} </tool_call>')
    for tools, calls, text in (
        ((WEATHER,), (ToolCall("call-0", "weather", '{"city": "Rome"}'),), "Well. "),
        ((), (), said.content),
    ):
        *pieces, last = [item async for item in fake.generate(GenerationRequest("r", (said,), 50, tools=tools))]
        assert isinstance(last, Finish)
        assert last.tool_calls == calls
        assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == text


def test_a_finish_with_calls_crosses_a_process_whole() -> None:
    finish = Finish("stop", 3, 5, tool_calls=(PARIS,))
    assert Finish.from_wire(json.loads(json.dumps(asdict(finish)))) == finish


def test_a_request_with_calls_crosses_a_process_whole() -> None:
    request = ask(QUESTION, Message("assistant", "", (PARIS,)), Message("tool", "Sunny.", tool_call_id="id-0"))
    assert GenerationRequest.from_wire(json.loads(json.dumps(request.to_wire()))) == request

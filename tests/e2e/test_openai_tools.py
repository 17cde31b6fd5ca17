"""Tools passed through at OpenAI's door: the real clients, a live service, and a scripted model behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from tests.live import Live, serving
from tests.openai_server import Answer, OpenAIServer, calling, openai_server, saying

QUESTION = "Нужен ли зонт в Пскове?"
ARGUMENTS = '{"city": "Псков"}'
SPEC: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture(scope="module")
def model() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture(scope="module")
def service(model: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("tools"), llm_base_url=model.url, embedder_model="fake") as live:
        yield live


@pytest.fixture
def script(model: OpenAIServer) -> OpenAIServer:
    model.renew()
    return model


@pytest.fixture
def client(service: Live) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0)


def _ask(client: openai.OpenAI, messages: Any, **more: Any) -> Any:
    return client.chat.completions.create(model="answerbox-llm", messages=messages, tools=[SPEC], **more)


def test_a_call_goes_to_the_caller_and_its_result_to_the_model(client: openai.OpenAI, script: OpenAIServer) -> None:
    script.answers = [calling(("weather", ARGUMENTS)), saying("Да, там дождь.")]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    first = _ask(client, messages).choices[0]
    [call] = first.message.tool_calls
    assert (first.finish_reason, first.message.content) == ("tool_calls", None)
    assert (call.function.name, call.function.arguments) == ("weather", ARGUMENTS)

    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "Дождь."}]
    second = _ask(client, messages).choices[0]
    assert (second.finish_reason, second.message.content) == ("stop", "Да, там дождь.")
    assert second.message.tool_calls is None

    asked = script.asked[-1]
    assert asked["tools"] == [SPEC]
    assert [message["role"] for message in asked["messages"][-3:]] == ["user", "assistant", "tool"]
    assert asked["messages"][-1] == {"role": "tool", "content": "Дождь.", "tool_call_id": call.id}
    assert asked["messages"][-2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": ARGUMENTS}


def test_a_stream_has_the_words_and_then_the_calls(client: openai.OpenAI, script: OpenAIServer) -> None:
    script.answers = [calling(("weather", ARGUMENTS), ("weather", "{}"), words=["Let", " me", " look."])]
    chunks = list(_ask(client, [{"role": "user", "content": QUESTION}], stream=True))
    choices = [chunk.choices[0] for chunk in chunks]
    assert "".join(choice.delta.content or "" for choice in choices) == "Let me look."
    called = [call for choice in choices for call in choice.delta.tool_calls or ()]
    assert [(call.index, call.function.arguments) for call in called] == [(0, ARGUMENTS), (1, "{}")]
    assert choices[-1].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("required", "required"),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "function", "function": {"name": "weather"}}),
        ("auto", None),
    ],
    ids=["required", "named", "auto"],
)
def test_the_callers_choice_reaches_the_model(
    client: openai.OpenAI, script: OpenAIServer, choice: Any, sent: Any
) -> None:
    script.answer = calling(("weather", ARGUMENTS))
    assert _ask(client, [{"role": "user", "content": QUESTION}], tool_choice=choice).choices[0].message.tool_calls
    assert script.asked[-1].get("tool_choice") == sent


def test_a_call_that_was_cut_is_no_call(client: openai.OpenAI, script: OpenAIServer) -> None:
    script.answer = Answer(["One"], [("weather", '{"city": ')], finish="length")
    choice = _ask(client, [{"role": "user", "content": QUESTION}]).choices[0]
    assert (choice.finish_reason, choice.message.content, choice.message.tool_calls) == ("length", "One", None)


@pytest.mark.parametrize("name", ["answerbox-rag", "answerbox-agent"])
def test_a_pipeline_with_tools_of_its_own_takes_no_others(client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=name, messages=[{"role": "user", "content": "a"}], tools=[SPEC])
    assert caught.value.param == "tools"


@tool
def weather(city: str) -> str:
    """Weather of a city."""
    return f"Rain in {city}."


class Verdict(BaseModel):
    """What to take along."""

    umbrella: Literal["yes", "no"]


def _langchain(service: Live) -> ChatOpenAI:
    return ChatOpenAI(model="answerbox-llm", base_url=f"{service.url}/v1", api_key=SecretStr("none"), max_retries=0)


def test_langchain_calls_its_tools(service: Live, script: OpenAIServer) -> None:
    chat = _langchain(service).bind_tools([weather])
    script.answers = [calling(("weather", ARGUMENTS))] * 2 + [saying("Take one.")]
    whole = chat.invoke(QUESTION)
    merged = AIMessageChunk(content="")
    for piece in chat.stream(QUESTION):
        assert isinstance(piece, AIMessageChunk)
        merged += piece
    for message in (whole, merged):
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("weather", {"city": "Псков"})]
    [call] = whole.tool_calls
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    assert chat.invoke([HumanMessage(QUESTION), whole, result]).text == "Take one."
    assert script.asked[-1]["messages"][-1]["content"] == "Rain in Псков."


def test_langchain_gets_an_answer_of_a_form(service: Live, script: OpenAIServer) -> None:
    script.answer = calling(("Verdict", '{"umbrella": "yes"}'))
    chat = _langchain(service).with_structured_output(Verdict, method="function_calling")
    assert chat.invoke(QUESTION) == Verdict(umbrella="yes")
    assert script.asked[-1]["tool_choice"] == {"type": "function", "function": {"name": "Verdict"}}

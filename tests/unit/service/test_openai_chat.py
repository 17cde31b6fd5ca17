"""A chat of OpenAI's protocol as a request of ours."""

from __future__ import annotations

from typing import Any

import pytest

from answerbox.contracts import MAX_CONTEXT_CHARS, RagRequest
from answerbox.errors import InvalidRequest
from answerbox.pipelines.chat import ChatRequest, Turn
from answerbox.service import openai_unsupported
from answerbox.service.openai_chat import request_of, talk_of
from answerbox.service.openai_contract import ChatBody
from answerbox.validation import validated

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}, "strict": True}}


def said(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def calls(*names: str) -> dict[str, Any]:
    found = [{"id": f"id-{name}", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": None, "tool_calls": found}


def told(name: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"id-{name}", "content": content}


USED = [calls("weather"), told("weather", "Rain.")]

TALK = [
    said("developer", "Be brief."),
    said("user", "Hi."),
    said("user", [{"type": "text", "text": "I am Ada."}, {"type": "text", "text": "And you?"}]),
    said("assistant", None),
    said("assistant", "Hello."),
    said("system", "Today is Monday."),
    said("user", "  Who am I? "),
]


def body(messages: Any = None, **more: Any) -> ChatBody:
    return validated(ChatBody, {"model": "answerbox-llm", "messages": messages or [said("user", "a")], **more})


def asked(contract: type[Any], messages: Any = None, **more: Any) -> Any:
    chat = body(messages, **more)
    return request_of(chat, talk_of(chat.messages), contract)


def refused(**more: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        _read(more)
    return [fault["field"] for fault in caught.value.errors]


def _read(more: dict[str, Any]) -> None:
    chat = body(**more)
    openai_unsupported.ignored(chat, openai_unsupported.CHAT)
    request_of(chat, talk_of(chat.messages), RagRequest)


def test_a_chat_keeps_its_turns_and_its_system_messages() -> None:
    request = asked(ChatRequest, TALK)
    assert (request.question, request.context) == ("Who am I?", None)
    assert request.system == "Be brief.\n\nToday is Monday."
    assert request.turns == [
        Turn(role="user", content="Hi.\n\nI am Ada.\nAnd you?"),
        Turn(role="assistant", content="Hello."),
    ]


def test_where_there_are_no_turns_the_talk_is_context() -> None:
    request = asked(RagRequest, TALK, top_k=3, filter={"team": "shop"})
    assert request.context == (
        "System: Be brief.\n\nToday is Monday.\nUser: Hi.\n\nI am Ada.\nAnd you?\nAssistant: Hello."
    )
    assert (request.top_k, request.filter) == (3, {"team": "shop"})
    assert asked(RagRequest).context is None


def test_of_a_long_talk_the_end_is_context() -> None:
    long = [said("user", "a" * MAX_CONTEXT_CHARS), said("assistant", "the end"), said("user", "b")]
    context = asked(RagRequest, long).context
    assert len(context) == MAX_CONTEXT_CHARS
    assert context.endswith("Assistant: the end")


def test_parameters_become_options() -> None:
    more = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "max_completion_tokens": 7, "user": "ada", "stop": "\n"}
    request = asked(ChatRequest, **more)
    assert request.options.model_dump() == {
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 3,
        "max_tokens": 7,
        "stop": ["\n"],
    }
    assert request.user_id == "ada"
    nothing = dict.fromkeys([*more, "max_tokens", "stream", "stream_options", "n", "tools", "response_format"])
    assert asked(ChatRequest, **nothing) == asked(ChatRequest)


@pytest.mark.parametrize(
    ("more", "fields"),
    [
        ({"n": 2, "logprobs": True}, ["n", "logprobs"]),
        ({"tools": [TOOL]}, ["tools"]),
        ({"functions": [TOOL["function"]], "function_call": {"name": "weather"}}, ["functions", "function_call"]),
        ({"response_format": {"type": "json_object"}}, ["response_format"]),
        ({"presence_penalty": 0.1}, ["presence_penalty"]),
        ({"modalities": ["text", "audio"], "audio": {}}, ["modalities", "audio"]),
        ({"max_tokens": 1, "max_completion_tokens": 1}, ["max_completion_tokens"]),
        ({"seed": -1}, ["seed"]),
        ({"stop": ["a"] * 5}, ["stop"]),
        ({"user": "a b"}, ["user"]),
        ({"top_k": 0}, ["top_k"]),
        ({"messages": [said("user", "  ")]}, ["messages.0.content"]),
        ({"messages": [said("user", "a"), said("user", "b" * 8_001)]}, ["messages.1.content"]),
        ({"messages": [said("user", [{"type": "image_url", "image_url": {}}])]}, ["messages.0.content"]),
        ({"messages": [said("user", [{"type": "text"}])]}, ["messages.0.content"]),
        ({"messages": [said("tool", "a")]}, ["messages.0.tool_call_id"]),
        ({"messages": [said("user", "a"), *USED]}, ["messages.2.role"]),
        ({"messages": [said("assistant", "a")]}, ["messages.0.role"]),
        ({"messages": [said("user", "a" * 512_000), said("user", "b")]}, ["messages"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_kept_is_refused_by_name(more: dict[str, Any], fields: list[str]) -> None:
    assert refused(**more) == fields


def test_values_that_ask_for_nothing_pass_and_the_rest_is_listed() -> None:
    chat = body(n=1, tools=[], logprobs=False, response_format={"type": "text"}, store=True, num_ctx=4, metadata={})
    assert openai_unsupported.ignored(chat, openai_unsupported.CHAT) == ["metadata", "num_ctx", "store"]

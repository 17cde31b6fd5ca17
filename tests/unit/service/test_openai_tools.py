"""The caller's tools, on their way to the model and back."""

from __future__ import annotations

from typing import Any

import pytest

from answerbox.contracts import RagRequest
from answerbox.errors import InvalidRequest
from answerbox.pipelines.chat import ChatRequest, Turn, check_tools, with_turns
from answerbox.ports import GeneratorInfo, Message
from answerbox.tools import ANY_TOOL, ToolCall, ToolSpec
from tests.unit.service.test_openai_chat import TOOL, USED, asked, calls, said, told

CALL = ToolCall("id-weather", "weather", "{}")
SPEC = ToolSpec("weather", "", {"type": "object"})


def refused(contract: type[Any] = ChatRequest, messages: Any = None, **more: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        asked(contract, messages, **more)
    return {fault["field"]: fault["message"] for fault in caught.value.errors}


def test_the_model_is_told_of_the_tools() -> None:
    request = asked(
        ChatRequest, tools=[TOOL, {"type": "function", "function": {"name": "now", "description": "Time."}}]
    )
    assert request.tools == (SPEC, ToolSpec("now", "Time.", {"type": "object", "properties": {}}))
    assert request.must_call is None


@pytest.mark.parametrize(
    ("choice", "must_call"),
    [("auto", None), ("required", ANY_TOOL), ({"type": "function", "function": {"name": "weather"}}, "weather")],
    ids=["auto", "required", "named"],
)
def test_the_caller_chooses(choice: Any, must_call: str | None) -> None:
    request = asked(ChatRequest, tools=[TOOL], tool_choice=choice)
    assert (request.tools, request.must_call) == ((SPEC,), must_call)


def test_tools_that_must_not_be_called_are_not_told_of() -> None:
    assert asked(ChatRequest, tools=[TOOL], tool_choice="none").tools == ()
    assert asked(RagRequest, tools=[TOOL], tool_choice="none").question == "a"


def test_calls_and_results_keep_their_places() -> None:
    talk = [said("user", "Rain?"), *USED, said("assistant", "Yes."), said("user", "And now?"), *USED]
    request = asked(ChatRequest, talk)
    call, result = Turn(role="assistant", content="", tool_calls=(CALL,)), _result("Rain.")
    assert request.question == "And now?"
    assert request.turns == [
        Turn(role="user", content="Rain?"),
        call,
        result,
        Turn(role="assistant", content="Yes."),
    ]
    assert request.since == [call, result]
    sent = with_turns((Message("system", "Be brief."), Message("user", "And now?")), request)
    assert [message.role for message in sent] == [
        "system", "user", "assistant", "tool", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip
    assert sent[-2:] == (Message("assistant", "", (CALL,)), Message("tool", "Rain.", (), "id-weather"))


def _result(content: str) -> Turn:
    return Turn(role="tool", content=content, tool_call_id="id-weather")


def test_calls_are_no_turns_that_could_be_joined() -> None:
    talk = [calls("a"), told("a", ""), calls("b"), told("b", "2"), said("user", "Go on.")]
    assert [turn.role for turn in asked(ChatRequest, talk).turns] == ["assistant", "tool"] * 2


def test_other_pipelines_are_told_what_the_tools_said() -> None:
    request = asked(RagRequest, [said("user", "Rain?"), *USED, said("assistant", "Yes."), said("user", "Why?")])
    assert request.context == "User: Rain?\nTool: Rain.\nAssistant: Yes."


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([said("user", "a"), calls("x")], "messages.1.tool_calls"),
        ([said("user", "a"), calls("x"), said("user", "b")], "messages.1.tool_calls"),
        ([said("user", "a"), calls("x", "y"), told("y", "1")], "messages.1.tool_calls"),
        ([said("user", "a"), calls("x"), told("y", "1"), told("x", "2")], "messages.2.tool_call_id"),
        ([said("user", "a"), calls("x"), told("x", "1"), told("x", "2")], "messages.3.tool_call_id"),
        ([said("user", "a"), told("x", "1")], "messages.1.tool_call_id"),
        ([calls("x"), told("x", "1")], "messages.1.role"),
    ],
    ids=["open", "passed-over", "one-of-two", "other-id", "twice", "no-call", "no-question"],
)
def test_loose_ends_are_named(messages: list[dict[str, Any]], field: str) -> None:
    assert list(refused(messages=messages)) == [field]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools.0.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
    ],
    ids=["twice", "too-many", "bad-name", "hosted", "nothing-to-choose", "unknown-choice"],
)
def test_tools_that_cannot_be_are_named(more: dict[str, Any], field: str) -> None:
    assert field in refused(**more)


@pytest.mark.parametrize(
    "more", [{"tools": [TOOL]}, {"messages": [said("user", "a"), *USED]}], ids=["tools", "results"]
)
def test_a_pipeline_without_tools_refuses_them(more: dict[str, Any]) -> None:
    assert refused(RagRequest, **more)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"messages": [said("user", "a"), *USED]}, "messages"),
        ({"messages": [*USED, said("user", "a")]}, "messages"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tools"),
    ],
    ids=["tools", "results", "results-before", "choice"],
)
def test_a_model_without_tools_refuses_them(more: dict[str, Any], field: str) -> None:
    request = asked(ChatRequest, **more)
    with pytest.raises(InvalidRequest) as caught:
        check_tools(request, GeneratorInfo("m", 100))
    assert caught.value.errors[0]["field"] == field
    check_tools(request, GeneratorInfo("m", 100, tools=True, obeys_tool_choice=True))


def test_a_model_that_cannot_be_made_to_call_says_so() -> None:
    model = GeneratorInfo("m", 100, tools=True)
    check_tools(asked(ChatRequest, tools=[TOOL]), model)
    with pytest.raises(InvalidRequest) as caught:
        check_tools(asked(ChatRequest, tools=[TOOL], tool_choice="required"), model)
    assert caught.value.errors[0]["field"] == "tool_choice"

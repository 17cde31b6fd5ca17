"""Tools in OpenAI's protocol: they are the caller's. The model is told of them, the caller of its calls.

https://platform.openai.com/docs/guides/function-calling
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from answerbox.service.openai_contract import (
    CalledFunction,
    ChatBody,
    ChatMessage,
    FunctionBody,
    NamedTool,
    ToolCallBody,
)
from answerbox.tools import ANY_TOOL, ToolCall, ToolSpec
from answerbox.validation import invalid_request

NO_PARAMETERS = {"type": "object", "properties": {}}
TWICE = "there is more than one of the name {name!r}"
UNKNOWN = "{name!r} is not one of `tools`"
NO_CALL = "a message of a tool answers, by its id, a call of the assistant's message before it"
NO_ANSWER = "no message of the role `tool` right after it answers the call {id!r}"


def specs(body: ChatBody) -> tuple[ToolSpec, ...]:
    """What the model is told of: nothing where it may call nothing. Raises: InvalidRequest."""
    functions = [tool.function for tool in body.tools or ()]
    names = [function.name for function in functions]
    for name in names:
        if names.count(name) > 1:
            raise invalid_request([{"field": "tools", "message": TWICE.format(name=name)}])
    if (wanted := must_call(body)) and wanted not in (ANY_TOOL, *names):
        raise invalid_request([{"field": "tool_choice", "message": UNKNOWN.format(name=wanted)}])
    if wanted and not names:
        raise invalid_request([{"field": "tool_choice", "message": "there are no `tools` to be called"}])
    return () if body.tool_choice == "none" else tuple(map(_spec, functions))


def must_call(body: ChatBody) -> str | None:
    """The name of the tool that has to be called, or `ANY_TOOL`."""
    if isinstance(body.tool_choice, NamedTool):
        return body.tool_choice.function.name
    return ANY_TOOL if body.tool_choice == "required" else None


def call_of(body: ToolCallBody) -> ToolCall:
    return ToolCall(body.id, body.function.name, body.function.arguments)


def body_of(call: ToolCall) -> ToolCallBody:
    return ToolCallBody(id=call.id, function=CalledFunction(name=call.name, arguments=call.arguments))


def loose_ends(messages: Sequence[ChatMessage]) -> Iterator[dict[str, str]]:
    """Faults: calls that nothing answers, and answers to no call. Templates of models cannot tell of them."""
    waiting: dict[str, int] = {}
    for place, message in enumerate(messages):
        if message.role == "tool":
            if waiting.pop(message.tool_call_id or "", None) is None:
                yield {"field": f"messages.{place}.tool_call_id", "message": NO_CALL}
            continue
        yield from _unanswered(waiting)
        calls = message.tool_calls if message.role == "assistant" else None
        waiting = {call.id: place for call in calls or ()}
    yield from _unanswered(waiting)


def _unanswered(waiting: dict[str, int]) -> Iterator[dict[str, str]]:
    for id_, place in waiting.items():
        yield {"field": f"messages.{place}.tool_calls", "message": NO_ANSWER.format(id=id_)}


def _spec(function: FunctionBody) -> ToolSpec:
    return ToolSpec(function.name, function.description or "", function.parameters or NO_PARAMETERS)

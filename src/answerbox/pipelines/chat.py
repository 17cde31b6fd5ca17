"""A conversation for the language model: the turns before the question, the caller's own system message and tools.

The tools are called by the caller, who asks again with what they told: `since`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from answerbox.contracts import MAX_CONTEXT_CHARS, Contract, LlmRequest, LlmResponse
from answerbox.ports import GeneratorInfo, Message, Prompt
from answerbox.tools import ToolCall, ToolSpec
from answerbox.validation import invalid_request

CALLERS = "caller"
ROLES = {"user": "User", "assistant": "Assistant", "tool": "Tool"}
NO_TOOLS = "the model that is served here calls no tools: leave it out"
NO_CHOICE = "the model that is served here cannot be made to call a tool: leave it out, or say `auto`"


class Turn(Contract):
    role: Literal["user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    def message(self) -> Message:
        return Message(self.role, self.content, self.tool_calls, self.tool_call_id)


class ChatRequest(LlmRequest):
    """A question inside a conversation. Whoever sends it speaks as the operator too: `system` replaces our words."""

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONTEXT_CHARS)]
    system: str | None = None
    turns: list[Turn] = Field(default_factory=list, description="What was said before the question, oldest first.")
    since: list[Turn] = Field(default_factory=list, description="Calls that the question led to, and their results.")
    tools: tuple[ToolSpec, ...] = ()
    must_call: str | None = Field(None, description="The tool that has to be called, or `ANY_TOOL`.")


class ChatResponse(LlmResponse):
    tool_calls: tuple[ToolCall, ...] = Field((), description="What the caller is to do before the model goes on.")


def transcript(turns: Sequence[Turn], system: str = "") -> str | None:
    """What was said before the question, as text for `context`; of a long talk, the end."""
    said = [f"System: {system}"] if system else []
    said += [f"{ROLES[turn.role]}: {turn.content}" for turn in turns if turn.content]
    return "\n".join(said)[-MAX_CONTEXT_CHARS:] or None


def system_of(request: LlmRequest) -> Prompt | None:
    """The caller's own system prompt."""
    return Prompt(CALLERS, request.system) if isinstance(request, ChatRequest) and request.system else None


def with_turns(messages: tuple[Message, ...], request: LlmRequest) -> tuple[Message, ...]:
    """The messages, of which the last is the question, with what was said before and after it."""
    if not isinstance(request, ChatRequest):
        return messages
    before, after = ([turn.message() for turn in turns] for turns in (request.turns, request.since))
    return (*messages[:-1], *before, messages[-1], *after)


def check_tools(request: LlmRequest, model: GeneratorInfo) -> None:
    """Raises: InvalidRequest, where the request needs what the model cannot do."""
    if not isinstance(request, ChatRequest):
        return
    if not model.tools and request.tools:
        raise invalid_request([{"field": "tools", "message": NO_TOOLS}])
    if not model.tools and any(turn.role == "tool" for turn in (*request.turns, *request.since)):
        raise invalid_request([{"field": "messages", "message": f"{NO_TOOLS} (turns of tools)"}])
    if not model.obeys_tool_choice and request.must_call:
        raise invalid_request([{"field": "tool_choice", "message": NO_CHOICE}])

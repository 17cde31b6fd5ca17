"""A conversation for the language model: the turns before the question, and the caller's own system message."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from answerbox.contracts import MAX_CONTEXT_CHARS, Contract, LlmRequest
from answerbox.ports import Message, Prompt

CALLERS = "caller"


class Turn(Contract):
    role: Literal["user", "assistant"]
    content: str


class ChatRequest(LlmRequest):
    """A question inside a conversation. Whoever sends it speaks as the operator too: `system` replaces our words."""

    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONTEXT_CHARS)]
    system: str | None = None
    turns: list[Turn] = Field(default_factory=list, description="What was said before the question, oldest first.")


def system_of(request: LlmRequest) -> Prompt | None:
    """The caller's own system prompt."""
    return Prompt(CALLERS, request.system) if isinstance(request, ChatRequest) and request.system else None


def with_turns(messages: tuple[Message, ...], request: LlmRequest) -> tuple[Message, ...]:
    """The messages with what was said before the last of them."""
    if not isinstance(request, ChatRequest):
        return messages
    return (*messages[:-1], *(Message(turn.role, turn.content) for turn in request.turns), messages[-1])

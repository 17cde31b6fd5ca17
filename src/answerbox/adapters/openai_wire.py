"""What is sent to an OpenAI-compatible server, and the part of what it sends that is used.

The client does not check what it reads, so these classes do.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from answerbox.adapters.openai_errors import NONSENSE
from answerbox.errors import BadUpstream
from answerbox.ports import GenerationRequest, Message
from answerbox.tools import ANY_TOOL, ToolCall

MAX_CALLS = 32
MAX_ARGUMENT_CHARS = 64_000
"""Of one call. A server that sends more, sends nonsense."""


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class CallPiece(BaseModel):
    """A piece of a tool call; pieces of the same `index` belong together."""

    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(BaseModel):
    content: str | None = None
    tool_calls: list[CallPiece] | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    finish_reason: str | None = None


class TokenCounts(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(BaseModel):
    choices: list[_Choice] | None = None
    usage: TokenCounts | None = None

    @property
    def text(self) -> str:
        return (delta.content or "") if (delta := self._delta) else ""

    @property
    def calls(self) -> list[CallPiece]:
        return (delta.tool_calls or []) if (delta := self._delta) else []

    @property
    def finish_reason(self) -> str | None:
        return self.choices[0].finish_reason if self.choices else None

    @property
    def _delta(self) -> _Delta | None:
        return self.choices[0].delta if self.choices else None


class _Meta(BaseModel):
    n_ctx_train: int | None = None


class ServedModel(BaseModel):
    id: str
    max_model_len: int | None = None  # vLLM
    context_length: int | None = None  # several hosted ones
    meta: _Meta | None = None  # llama.cpp

    @property
    def window(self) -> int | None:
        return self.max_model_len or self.context_length or (self.meta.n_ctx_train if self.meta else None)


class Models(BaseModel):
    data: list[ServedModel] | None


class CallPieces:
    """Tool calls, put together from their pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, list[str]] = {}

    def add(self, pieces: list[CallPiece]) -> None:
        """Raises: BadUpstream, where there are too many, or one is too long."""
        for piece in pieces:
            call = self._calls.setdefault(piece.index, ["", "", ""])
            call[0] = call[0] or piece.id or ""
            if piece.function:
                call[1] += piece.function.name or ""
                call[2] += piece.function.arguments or ""
            if len(self._calls) > MAX_CALLS or len(call[1]) + len(call[2]) > MAX_ARGUMENT_CHARS:
                raise BadUpstream(NONSENSE)

    def whole(self) -> tuple[ToolCall, ...]:
        """In the order of their indexes; some servers send no ids."""
        found = [self._calls[index] for index in sorted(self._calls)]
        return tuple(ToolCall(id_ or f"call-{n}", name, text) for n, (id_, name, text) in enumerate(found) if name)


def options(request: GenerationRequest) -> dict[str, Any]:
    """What is not asked for is left out: some servers refuse what they do not know."""
    found: dict[str, Any] = {
        "messages": [message_as_sent(message) for message in request.messages],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    if request.temperature > 0:
        found["top_p"] = request.top_p
    if request.seed is not None:
        found["seed"] = request.seed
    if request.stop:
        found["stop"] = list(request.stop)
    if request.user_id:
        found["user"] = request.user_id
    if request.tools:
        found["tools"] = [tool.as_function() for tool in request.tools]
    if request.must_call:
        found["tool_choice"] = _tool_choice(request.must_call)
    return found


def _tool_choice(name: str) -> Any:
    return "required" if name == ANY_TOOL else {"type": "function", "function": {"name": name}}


def message_as_sent(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["content"] = message.content or None
        found["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found

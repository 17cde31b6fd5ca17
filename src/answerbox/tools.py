"""Tools that a language model may call: how they look to it, and how a function of the operator's own becomes one.

from answerbox.tools import tool

@tool(side_effects=True, timeout_s=5)
async def open_ticket(title: str, urgent: bool = False) -> str:
    \"\"\"Opens a ticket for the support team.\"\"\"
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
MARK = "__answerbox_tool__"
ANY_TOOL = "*"
"""In the place of a name, where a model has to call a tool and may choose which."""
MAX_DEPTH = 32
"""Of objects and lists in the arguments of a call."""


@dataclass(frozen=True)
class ToolSpec:
    """What a model is told of a tool; `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]

    def as_function(self) -> dict[str, Any]:
        """As OpenAI's protocol has it, and the chat templates that follow it."""
        described = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": described}


@dataclass(frozen=True)
class ToolCall:
    """What a model asks for. `arguments` is its text, which need not be JSON, nor fit the schema."""

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Any] | None:
        """The arguments; None where they are no JSON object, or one that cannot be written as JSON again."""
        try:
            found = json.loads(self.arguments or "{}", parse_constant=_no_number)
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()  # half a character cannot be
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and _depth(found) <= MAX_DEPTH else None


def _no_number(text: str) -> None:
    raise ValueError(text)


def _depth(value: Any) -> int:
    """Without recursion, for a model may nest as deep as it likes."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        deepest = max(deepest, depth)
        inside = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        waiting += [(one, depth + 1) for one in inside]
    return deepest


class ToolError(Exception):
    """Why a tool gives no result, in words for the model. It may be shown to a caller too."""


class WrongArguments(ToolError):
    """What the model gave does not fit the schema."""


class ForeignFailure(ToolError):
    """Why a tool gives no result, in the words of somebody else's service: for the model, not for a caller."""


@dataclass(frozen=True)
class Tool:
    """`call` gets arguments as the model gave them, and raises `ToolError` where they do not fit.

    `timeout_s`: longest time of a call, seconds; None is the service's own bound.
    """

    spec: ToolSpec
    call: Callable[[dict[str, Any]], Awaitable[str]]
    side_effects: bool = False
    timeout_s: float | None = None


@dataclass(frozen=True)
class Marked:
    """What `tool` has written on a function."""

    name: str | None = None
    side_effects: bool = False
    timeout_s: float | None = None


def tool(
    *, name: str | None = None, side_effects: bool = False, timeout_s: float | None = None
) -> Callable[[FunctionT], FunctionT]:
    """Marks a function. One with side effects is called only where `ANSWERBOX_ALLOWED_TOOLS` names it."""

    def marked(function: FunctionT) -> FunctionT:
        setattr(function, MARK, Marked(name, side_effects, timeout_s))
        return function

    return marked


def mark_of(function: Callable[..., Any]) -> Marked:
    found = getattr(function, MARK, None)
    return found if isinstance(found, Marked) else Marked()


@dataclass(frozen=True)
class Offer:
    """The tools that others serve, as far as they can be had at the moment; `missing` names servers that cannot."""

    tools: Sequence[Tool] = ()
    missing: Sequence[str] = ()


class ToolServers(Protocol):
    async def offer(self, within_s: float) -> Offer:
        """Takes no longer than that; never raises."""
        ...

"""Calls in the text of a local model."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from answerbox.adapters.generation.tool_text import ToolText, with_tool_calls
from answerbox.ports import Finish, Piece
from answerbox.tools import ToolCall

HERMES = '<tool_call>\n{"name": "clock", "arguments": {"zone": "UTC"}}\n</tool_call>'
CLOCK = ToolCall("call-0", "clock", '{"zone": "UTC"}')


def read(text: str, size: int) -> tuple[str, str, tuple[ToolCall, ...]]:
    """What was shown at once, what was shown in the end, and the calls, of a text that comes in pieces."""
    tool_text = ToolText()
    shown = "".join(tool_text.add(text[place : place + size]) for place in range(0, len(text), size))
    return shown, *tool_text.end()


@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        pytest.param("Paris is it.", "Paris is it.", (), id="no-call"),
        pytest.param(HERMES, "", (CLOCK,), id="hermes"),
        pytest.param(f"I look. {HERMES}", "I look.", (CLOCK,), id="text-before"),
        pytest.param(f"{HERMES}\n{HERMES}", "", (CLOCK, ToolCall("call-1", "clock", '{"zone": "UTC"}')), id="two"),
        pytest.param('{"name": "clock", "parameters": {"zone": "UTC"}}', "", (CLOCK,), id="llama"),
        pytest.param(
            '{"name": "a"}; {"name": "b"}',
            "",
            (ToolCall("call-0", "a", "{}"), ToolCall("call-1", "b", "{}")),
            id="llama-two",
        ),
        pytest.param('{"answer": 4}', '{"answer": 4}', (), id="json-that-is-an-answer"),
        pytest.param("2 < 3 and <tool_c", "2 < 3 and <tool_c", (), id="nearly-a-mark"),
        pytest.param("<tool_call>{not json}</tool_call>", "<tool_call>{not json}</tool_call>", (), id="unreadable"),
        pytest.param("", "", (), id="nothing"),
    ],
)
def test_calls_are_taken_out_of_the_text(size: int, text: str, shown: str, calls: tuple[ToolCall, ...]) -> None:
    at_once, rest, found = read(text, size)
    assert ((at_once + rest).strip(), found) == (shown, calls)


def test_text_that_is_no_call_is_shown_as_it_comes() -> None:
    text = ToolText()
    assert [text.add(piece) for piece in ("Par", "is <", "b>")] == ["Par", "is ", "<b>"]


@pytest.mark.parametrize(("reason", "calls"), [("stop", (CLOCK,)), ("length", ()), ("cancelled", ())])
async def test_only_a_generation_that_ended_by_itself_calls(reason: str, calls: tuple[ToolCall, ...]) -> None:
    async def items() -> AsyncGenerator[Piece | Finish, None]:
        yield Piece(HERMES)
        yield Finish(reason, 3, 5)  # type: ignore[arg-type]

    last = [item async for item in with_tool_calls(items())][-1]
    assert isinstance(last, Finish)
    assert (last.reason, last.tool_calls) == (reason, calls)

"""The tools of the agent: arithmetic, the time, and functions of the operator's own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from answerbox.app import agent_tools
from answerbox.errors import SetupError
from answerbox.pipelines.agents.calculator import MAX_CHARS, calculate, calculator
from answerbox.pipelines.agents.clock import current_time
from answerbox.pipelines.agents.functions import THREADS, tool_from
from answerbox.settings import Settings
from answerbox.tools import ToolCall, ToolError, WrongArguments, tool


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("300 * 2", "600"),
        ("(1250 - 980) / 980 * 100", "27.5510204081633"),
        ("0.1 + 0.2", "0.3"),
        ("2 ** 100", str(2**100)),
        ("2^10", "1024"),
        ("7 // 2 + 7 % 2", "4"),
        ("-3 + +1", "-2"),
        ("sqrt(2) * sqrt(2)", "2"),
        ("round(2.675, 1) + max(1, 2, 3)", "5.7"),
        ("factorial(5)", "120"),
        ("2 × 3 − 1", "5"),
        ("4 ** -1", "0.25"),
        ("sin(pi)", "1.22464679914735e-16"),
    ],
)
def test_arithmetic(expression: str, value: str) -> None:
    assert calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "(1).__class__",
        "().__class__.__bases__",
        "'a' * 10",
        "[1] * 10**9",
        "[x for x in (1, 2)]",
        "open('x')",
        "lambda: 1",
        "True + 1",
        "1 if 1 else 2",
        "x",
        "a = 5",
        "",
        "1 +",
        "9" * 400,
        "9 ** 9 ** 9",
        "10 ** 301",
        "(10 ** 200) * (10 ** 200)",
        "2.0 ** 5000",
        "(-8) ** 0.5",
        "factorial(100000)",
        "1 / 0",
        "1e400",
        "exp(1000)",
        "log(0)",
        "(" * 240 + "1" + ")" * 240,
        "1 << 1000000",
        "1j",
        "f'{1}'",
        "print(1)",
        "max()",
    ],
)
def test_what_is_no_bounded_arithmetic_is_refused_at_once(expression: str) -> None:
    began = time.monotonic()
    with pytest.raises(ToolError):
        calculate(expression)
    assert time.monotonic() - began < 1


@settings(max_examples=300, deadline=1_000)
@given(st.text(alphabet="0123456789.+-*/%^() ,episqrtfacolmx'[]", max_size=60))
def test_no_text_does_anything_but_calculate_or_be_refused(text: str) -> None:
    try:
        assert float(calculate(text)) is not None
    except ToolError:
        return


async def test_an_expression_that_is_too_long_is_a_wrong_argument() -> None:
    with pytest.raises(WrongArguments, match="expression"):
        await calculator().call({"expression": "1+" * MAX_CHARS + "1"})


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ({"time_zone": "Europe/Moscow"}, "Thursday, 2026-11-26T15:30:00+03:00, week 48"),
        ({"time_zone": "America/New_York"}, "Thursday, 2026-11-26T07:30:00-05:00, week 48"),
        ({}, "Thursday, 2026-11-26T12:30:00+00:00, week 48"),
    ],
)
async def test_the_time_in_a_zone(zone: dict[str, str], told: str) -> None:
    clock = current_time(lambda: datetime(2026, 11, 26, 12, 30, tzinfo=UTC))
    assert await clock.call(zone) == told


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "a\0b", "."])
async def test_a_zone_that_there_is_not(zone: str) -> None:
    with pytest.raises(ToolError, match="time zone"):
        await current_time().call({"time_zone": zone})


class Size(BaseModel):
    width: int
    unit: Literal["cm", "in"] = "cm"


def shelf(
    title: Annotated[str, Field(description="What stands on it.", min_length=2)],
    size: Size,
    tags: list[str] | None = None,
) -> dict[str, Any]:
    """Makes a shelf.

    With a size.
    """
    return {"title": title, "size": size, "tags": tags, "when": datetime(2026, 1, 2)}


async def test_a_function_becomes_a_tool_by_its_signature_and_its_docstring() -> None:
    made = tool_from(shelf)
    assert (made.spec.name, made.spec.description) == ("shelf", "Makes a shelf.\n\nWith a size.")
    parameters = made.spec.parameters
    assert parameters["required"] == ["title", "size"]
    assert parameters["additionalProperties"] is False
    title = {"description": "What stands on it.", "minLength": 2, "type": "string"}
    assert parameters["properties"]["title"] == title
    told = await made.call({"title": "Книги", "size": {"width": 3}})
    assert told == (
        '{"title": "Книги", "size": {"width": 3, "unit": "cm"}, "tags": null, "when": "2026-01-02T00:00:00"}'
    )


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"title": "x", "size": {"width": 3}}, "title"),
        ({"title": "xx", "size": {"width": "wide"}}, "size.width"),
        ({"title": "xx"}, "size"),
        ({"title": "xx", "size": {"width": 3}, "other": 1}, "other"),
    ],
)
async def test_wrong_arguments_are_told_by_name(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(WrongArguments, match=field):
        await tool_from(shelf).call(arguments)


def test_a_mark_says_more_than_the_signature() -> None:
    @tool(name="order", side_effects=True, timeout_s=2)
    async def place_order(item: str) -> str:
        """Orders."""
        return item

    made = tool_from(place_order)
    assert (made.spec.name, made.side_effects, made.timeout_s) == ("order", True, 2)


def untyped(x):  # type: ignore[no-untyped-def]
    """Has no types."""


def undescribed(x: int) -> int:
    return x


def variadic(*x: int) -> int:
    """Takes any number."""
    return len(x)


def positional(x: int, /) -> int:
    """Takes no names."""
    return x


def unknown(x: "Nowhere") -> int:  # type: ignore[name-defined]  # noqa: F821, UP037
    """Has a type that there is not."""
    return int(x)


def schemaless(x: Callable[[int], int]) -> int:
    """Takes what JSON cannot say."""
    return x(1)


@dataclass
class Nameless:
    def __call__(self) -> int:
        return 1


@pytest.mark.parametrize("function", [untyped, undescribed, variadic, positional, unknown, schemaless, Nameless()])
def test_a_function_that_can_be_no_tool_stops_the_start(function: Any) -> None:
    with pytest.raises(SetupError, match="tool"):
        tool_from(function)


async def test_a_blocking_function_has_only_so_many_threads() -> None:
    gate = threading.Event()

    def slow() -> str:
        """Waits."""
        gate.wait(10)
        return "done"

    made = tool_from(slow)
    running = [asyncio.ensure_future(made.call({})) for _ in range(THREADS)]
    await asyncio.sleep(0)
    with pytest.raises(ToolError, match="busy"):
        await made.call({})
    gate.set()
    assert await asyncio.gather(*running) == ["done"] * THREADS


HERE = __name__


def test_the_operators_tools_are_found_by_the_setting() -> None:
    found = agent_tools(Settings(tools=(f"{HERE}:shelf",)))
    assert [made.spec.name for made in found] == ["calculator", "current_time", "shelf"]


def test_installed_packages_bring_tools_by_their_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "shelves-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: shelves\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(f"[answerbox.tools]\nmaker = {HERE}:shelf\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [made.spec.name for made in agent_tools(Settings())][2:] == ["shelf"]
    (package / "entry_points.txt").write_text(f"[answerbox.tools]\nmaker = {HERE}:nothing\n")
    with pytest.raises(SetupError, match="maker"):
        agent_tools(Settings())


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"tools": (f"{HERE}:nothing",)}, "ANSWERBOX_TOOLS"),
        ({"tools": (f"{HERE}:shelf", f"{HERE}:shelf")}, "shelf"),
        ({"allowed_tools": frozenset({"shelf"})}, "ANSWERBOX_ALLOWED_TOOLS"),
    ],
)
def test_tools_that_do_not_fit_stop_the_start(given: dict[str, Any], word: str) -> None:
    with pytest.raises(SetupError, match=word):
        agent_tools(Settings(**given))


def test_a_tool_of_a_server_may_be_allowed_before_it_is_known() -> None:
    servers = {"desk": "http://desk.example/mcp"}
    assert agent_tools(Settings(mcp_servers=servers, allowed_tools=frozenset({"desk__open"})))
    with pytest.raises(SetupError, match="shop__open"):
        agent_tools(Settings(mcp_servers=servers, allowed_tools=frozenset({"shop__open"})))


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        "{",
        '"x"',
        "[" * 100_000,
        '{"a": ' * 40 + "1" + "}" * 40,
        '{"a": "\\ud800"}',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": -Infinity}',
        '{"a": ' + "9" * 5_000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_arguments_that_are_no_object_of_json(text: str) -> None:
    assert ToolCall("c", "x", text).parsed() is None


def test_no_arguments_are_none_to_speak_of() -> None:
    assert ToolCall("c", "x", "").parsed() == {}

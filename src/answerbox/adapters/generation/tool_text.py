"""Tool calls in the text of a local model, in the two forms that chat templates teach.

Qwen and Hermes write `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, as often as they want tools called;
Llama's whole answer is `{"name": ..., "parameters": {...}}`, several with `;` or a new line between them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from answerbox.ports import Finish, Piece
from answerbox.tools import ToolCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
MAX_CALLS = 32


async def with_tool_calls(items: AsyncGenerator[Piece | Finish, None]) -> AsyncGenerator[Piece | Finish, None]:
    """The same items, with the calls in the `Finish` instead of in the text."""
    text = ToolText()
    async with aclosing(items):
        async for item in items:
            if isinstance(item, Piece):
                if shown := text.add(item.text):
                    yield Piece(shown)
                continue
            rest, calls = text.end()
            if rest:
                yield Piece(rest)
            yield replace(item, tool_calls=calls if item.reason == "stop" else ())


class ToolText:
    """Takes the text as it is made, and lets through what is no call."""

    def __init__(self) -> None:
        self._held = ""
        self._begun = False
        self._is_json = False

    def add(self, text: str) -> str:
        self._held += text
        if not self._begun:
            if not self._held.strip():
                return ""
            self._begun = True
            self._is_json = self._held.lstrip().startswith("{")
        if self._is_json:
            return ""
        free = _free(self._held)
        shown, self._held = self._held[:free], self._held[free:]
        return shown

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """What was held back and is no call after all, and the calls. A call that cannot be read stays text."""
        if self._is_json:
            calls = _objects(self._held)
            return ("", _numbered(calls)) if calls else (self._held, ())
        calls, rest = [], self._held
        while (start := rest.find(OPEN)) >= 0:
            inside, _, after = rest[start + len(OPEN) :].partition(CLOSE)
            found = _objects(inside)
            if not found:
                break
            calls += found
            rest = rest[:start].rstrip() + after.lstrip()
        return rest, _numbered(calls)


def _free(text: str) -> int:
    """How much of the text can be no part of a call: all before a mark, or before what may become one."""
    if (place := text.find(OPEN)) >= 0:
        return place
    return next(
        (len(text) - n for n in range(min(len(OPEN) - 1, len(text)), 0, -1) if OPEN.startswith(text[-n:])), len(text)
    )


def _objects(text: str) -> list[tuple[str, str]]:
    """Names and arguments of JSON objects that follow each other; none where one of them is no call."""
    decoder, found, place = json.JSONDecoder(), list[tuple[str, str]](), 0
    while place < len(text):
        if text[place] in " \t\r\n;,":
            place += 1
            continue
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return []
        call = _call(value)
        if call is None:
            return []
        found.append(call)
    return found


def _call(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return value["name"], text


def _numbered(calls: list[tuple[str, str]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(f"call-{n}", name, text) for n, (name, text) in enumerate(calls[:MAX_CALLS]))

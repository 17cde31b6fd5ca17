"""Calls a `run_model` of any kind, as the service does, without the service."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any


def answer_of(run_model: Callable[[dict[str, Any]], Any], request: dict[str, Any]) -> dict[str, Any]:
    """The response, also of a generator.

    Raises: TypeError where it is no dict with a text `answer`; and whatever `run_model` raises.
    """
    made = run_model(request)
    if inspect.isawaitable(made) or isinstance(made, AsyncIterator):
        made = asyncio.run(_awaited(made))
    elif isinstance(made, Iterator):
        made = _joined(list(made))
    if not isinstance(made, dict) or not isinstance(made.get("answer"), str):
        raise TypeError(f"run_model gave a {type(made).__name__}, and no dict with a text `answer`.")
    return made


async def _awaited(made: Any) -> Any:
    if isinstance(made, AsyncIterator):
        return _joined([piece async for piece in made])
    return await made


def _joined(items: list[Any]) -> dict[str, Any]:
    """Texts are the answer; the members of dicts stand beside it, or in its place."""
    if wrong := [item for item in items if not isinstance(item, str | dict)]:
        raise TypeError(f"run_model yielded a {type(wrong[0]).__name__}, which is neither text nor a dict.")
    made: dict[str, Any] = {"answer": "".join(item for item in items if isinstance(item, str))}
    for item in items:
        made |= item if isinstance(item, dict) else {}
    return made

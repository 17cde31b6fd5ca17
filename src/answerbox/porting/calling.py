"""Calls a `run_model` of any kind, as the service does, without the service."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any


def answer_of(run_model: Callable[[dict[str, Any]], Any], request: dict[str, Any]) -> dict[str, Any]:
    """The response; of a generator its pieces are the answer, and a dict at the end stands beside it.

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


def _joined(pieces: list[Any]) -> dict[str, Any]:
    last = pieces[-1] if pieces and isinstance(pieces[-1], dict) else None
    texts = pieces[:-1] if last is not None else pieces
    if wrong := [piece for piece in texts if not isinstance(piece, str)]:
        raise TypeError(f"run_model yielded a {type(wrong[0]).__name__} before its end, where pieces of text belong.")
    return {"answer": "".join(texts), **(last or {})}

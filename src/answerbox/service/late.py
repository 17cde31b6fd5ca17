"""What the documents can do without, opened when it is first needed and tried again: a disk may have been full."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from answerbox.errors import AnswerboxError, IndexUnavailable, SetupError

log = logging.getLogger(__name__)
T = TypeVar("T")


class Late(Generic[T]):
    """`found` is None until it has been opened; `name` is for the log and for who needs it."""

    def __init__(self, name: str, opens: Callable[[], Awaitable[T]]) -> None:
        self._name = name
        self._opens = opens
        self._opening = asyncio.Lock()
        self.found: T | None = None

    async def get(self) -> T:
        """Raises: IndexUnavailable."""
        try:
            return await self._open()
        except SetupError as exc:  # its text is for the operator
            log.error("%s cannot be kept: %s", self._name, exc)
            raise IndexUnavailable(f"{self._name} cannot be kept; the service's log says why.") from exc

    async def try_now(self) -> None:
        """Opens it; where that fails, the log says so."""
        try:
            await self._open()
        except Exception as exc:
            log.error("%s cannot be kept: %s", self._name, exc, exc_info=not isinstance(exc, AnswerboxError))

    async def _open(self) -> T:
        async with self._opening:
            if self.found is None:
                self.found = await self._opens()
            return self.found

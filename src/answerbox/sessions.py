"""Conversations: the questions of a session and their answers, kept for the next question.

A conversation belongs to its user. Another user's of the same `session_id` is another one, so that nobody can tell
whether somebody has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MAX_TURNS = 20
"""Of a conversation, the newest."""
MAX_TURN_CHARS = 16_000
"""Of a question, and of an answer; what is longer is cut."""


@dataclass(frozen=True)
class SessionKey:
    """`user_id` is None for nobody's sessions."""

    session_id: str
    user_id: str | None = None


@dataclass(frozen=True)
class Turn:
    question: str
    answer: str


class Sessions(Protocol):
    """Safe to use from several processes and for several questions of a session at a time."""

    async def turns(self, key: SessionKey) -> list[Turn]:
        """What has been said so far, oldest first; nothing where there is no such session. Raises: IndexUnavailable."""
        ...

    async def add(self, key: SessionKey, turn: Turn) -> None:
        """Once this returns, a crash does not lose it. Raises: IndexUnavailable."""
        ...

    async def delete(self, key: SessionKey) -> None:
        """Raises: SessionNotFound, IndexUnavailable."""
        ...

"""Conversations in a SQLite file of their own, bounded in number and in age."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from answerbox.adapters.sqlite_file import SqliteFile
from answerbox.errors import SessionNotFound
from answerbox.sessions import MAX_TURN_CHARS, MAX_TURNS, SessionKey, Turn

MAX_SESSIONS = 20_000
"""The longest unused go first."""
SCHEMA_VERSION = 1
SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS session (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,                    -- '' is nobody
    session_id TEXT NOT NULL,
    used_at REAL NOT NULL,
    UNIQUE (user_id, session_id)
)
""",
    "CREATE INDEX IF NOT EXISTS session_by_use ON session(used_at)",
    """
CREATE TABLE IF NOT EXISTS turn (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES session(number) ON DELETE CASCADE,
    question TEXT NOT NULL,
    answer TEXT NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS turn_by_session ON turn(session, number)",
)


class SqliteSessions:
    def __init__(self, path: Path, expire_after_s: float, now: Callable[[], float] = time.time) -> None:
        """Opens the file, or makes it; a session expires so many seconds after its last question.

        Raises:
            SetupError: it was written by a newer Answerbox.
            IndexUnavailable: SQLite cannot open it.
        """
        self._file = SqliteFile(path, "The store of conversations")
        self._expire_after_s = expire_after_s
        self._now = now
        self._file.bring_to(SCHEMA_VERSION, lambda _: SCHEMA)

    async def turns(self, key: SessionKey) -> list[Turn]:
        return await asyncio.to_thread(self._turns, key)

    async def add(self, key: SessionKey, turn: Turn) -> None:
        await asyncio.to_thread(self._add, key, turn)

    async def delete(self, key: SessionKey) -> None:
        if not await asyncio.to_thread(self._delete, key):
            raise SessionNotFound(
                f"There is no session {key.session_id!r}.",
                hint="It may have expired. A session belongs to the `user_id` of its questions.",
            )

    def close(self) -> None:
        self._file.close()

    def _turns(self, key: SessionKey) -> list[Turn]:
        with self._file.read() as db:
            rows = db.execute(
                "SELECT question, answer FROM turn JOIN session ON session.number = turn.session "
                "WHERE user_id = ? AND session_id = ? AND used_at > ? ORDER BY turn.number",
                (*_row(key), self._oldest()),
            ).fetchall()
        return [Turn(question, answer) for question, answer in rows]

    def _add(self, key: SessionKey, turn: Turn) -> None:
        said = (turn.question[:MAX_TURN_CHARS], turn.answer[:MAX_TURN_CHARS])
        with self._file.write() as db:
            db.execute("DELETE FROM session WHERE used_at <= ?", (self._oldest(),))
            number = db.execute(
                "INSERT INTO session (user_id, session_id, used_at) VALUES (?, ?, ?) "
                "ON CONFLICT (user_id, session_id) DO UPDATE SET used_at = excluded.used_at RETURNING number",
                (*_row(key), self._now()),
            ).fetchone()[0]
            db.execute("INSERT INTO turn (session, question, answer) VALUES (?, ?, ?)", (number, *said))
            db.execute(
                "DELETE FROM turn WHERE session = ? AND number NOT IN "
                "(SELECT number FROM turn WHERE session = ? ORDER BY number DESC LIMIT ?)",
                (number, number, MAX_TURNS),
            )
            db.execute(
                "DELETE FROM session WHERE number IN "
                "(SELECT number FROM session ORDER BY used_at DESC LIMIT -1 OFFSET ?)",
                (MAX_SESSIONS,),
            )

    def _delete(self, key: SessionKey) -> bool:
        with self._file.write() as db:
            db.execute("DELETE FROM session WHERE used_at <= ?", (self._oldest(),))
            found = db.execute("DELETE FROM session WHERE user_id = ? AND session_id = ?", _row(key))
            return found.rowcount > 0

    def _oldest(self) -> float:
        return self._now() - self._expire_after_s


def _row(key: SessionKey) -> tuple[str, str]:
    return key.user_id or "", key.session_id

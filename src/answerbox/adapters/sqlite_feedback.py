"""Feedback in a SQLite file of its own, bounded: so much waits to be sent, so much of what was sent is remembered."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from answerbox.adapters.sqlite_file import SqliteFile, marks
from answerbox.feedback import Feedback

MAX_WAITING = 10_000
MAX_SETTLED = 10_000
"""Remembered, so that a later word is known to replace them."""
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (
    number INTEGER PRIMARY KEY AUTOINCREMENT, -- a new one with every change
    score_id TEXT NOT NULL UNIQUE,
    trace_id TEXT NOT NULL,
    user_id TEXT,
    score REAL NOT NULL,
    comment TEXT,
    given_at REAL NOT NULL,                   -- the first time
    status TEXT NOT NULL CHECK (status IN ('waiting', 'sent', 'refused'))
)
"""
INDEX = "CREATE INDEX IF NOT EXISTS feedback_by_status ON feedback(status, number)"


class SqliteFeedback:
    def __init__(self, path: Path, max_waiting: int = MAX_WAITING, max_settled: int = MAX_SETTLED) -> None:
        """Opens the file, or makes it.

        Raises:
            SetupError: it was written by a newer Answerbox.
            IndexUnavailable: SQLite cannot open it.
        """
        self._file = SqliteFile(path, "The store of feedback")
        self._max_waiting = max_waiting
        self._max_settled = max_settled
        self._file.bring_to(SCHEMA_VERSION, lambda _: (SCHEMA, INDEX))

    def put(self, feedback: Feedback) -> int:
        said = (feedback.score, feedback.comment)
        with self._file.write() as db:
            before = db.execute(
                "SELECT score, comment, status, given_at FROM feedback WHERE score_id = ?", (feedback.score_id,)
            ).fetchone()
            if before and before[:2] == said and before[2] != "refused":
                return 0
            db.execute(
                "REPLACE INTO feedback (score_id, trace_id, user_id, score, comment, given_at, status) "
                "VALUES (?, ?, ?, ?, ?, ?, 'waiting')",
                (
                    feedback.score_id,
                    feedback.trace_id,
                    feedback.user_id,
                    *said,
                    before[3] if before else feedback.given_at,
                ),
            )
            return _keep_newest(db, ("waiting",), self._max_waiting)

    def waiting(self, limit: int) -> list[tuple[int, Feedback]]:
        with self._file.read() as db:
            rows = db.execute(
                "SELECT number, trace_id, score, comment, user_id, given_at FROM feedback "
                "WHERE status = 'waiting' ORDER BY number LIMIT ?",
                (limit,),
            ).fetchall()
        return [(number, Feedback(*rest)) for number, *rest in rows]

    def settle(self, numbers: Sequence[int], *, refused: bool = False) -> None:
        status = "refused" if refused else "sent"
        with self._file.write() as db:
            db.execute(f"UPDATE feedback SET status = ? WHERE number IN ({marks(numbers)})", (status, *numbers))
            _keep_newest(db, ("sent", "refused"), self._max_settled)

    def close(self) -> None:
        self._file.close()


def _keep_newest(db: sqlite3.Connection, statuses: tuple[str, ...], count: int) -> int:
    """How many went."""
    mine = f"status IN ({marks(statuses)})"
    oldest = f"SELECT number FROM feedback WHERE {mine} ORDER BY number DESC LIMIT -1 OFFSET ?"
    return db.execute(f"DELETE FROM feedback WHERE number IN ({oldest})", (*statuses, count)).rowcount

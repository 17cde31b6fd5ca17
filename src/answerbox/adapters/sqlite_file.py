"""One SQLite file, used by many threads: a connection each (WAL: readers do not wait), writers take turns."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from answerbox.errors import IndexUnavailable, SetupError, StorageFull

BUSY_TIMEOUT_S = 30.0
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
VARIABLES = 500
"""Values in one statement; SQLite bounds the number of variables."""


class Connection(sqlite3.Connection):
    """`later` is done once the transaction stands, and not where it does not."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.later: list[Callable[[], None]] = []


class SqliteFile:
    """Raises IndexUnavailable, of which StorageFull is one, from everything where SQLite cannot use the file."""

    def __init__(self, path: Path, name: str = "The ledger") -> None:
        """`name`: what a caller is told that it is."""
        self._path = path
        self._name = name
        self._local = threading.local()
        self._connections: list[Connection] = []
        self._writing = threading.RLock()
        self._left = threading.Condition()
        self._inside = 0
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection; each statement sees the newest state."""
        with self._translated():
            yield self._connection()

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A transaction that reads: all its statements see the state of its first."""
        with self._translated():
            db = self._connection()
            db.execute("BEGIN")
            try:
                db.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # only a read takes the snapshot
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of the block, or nothing."""
        with self._writing, self._translated():
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            db.later.clear()
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk may have ended it
                    db.execute("ROLLBACK")
                raise
            for work in db.later:
                work()

    def bring_to(self, newest: int, script: Callable[[int], Iterable[str]]) -> None:
        """Makes the tables of schema `newest`; `script` has the statements for a file of an earlier one (0: none yet).

        Raises:
            SetupError: the file was written by a newer Answerbox.
        """
        with self.write() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > newest:
                raise SetupError(
                    f"{self._path.name} was written by a newer Answerbox (schema {version}, known: {newest}).",
                    hint="Start the newer version, or choose another ANSWERBOX_DATA_DIR.",
                )
            for statement in script(version):
                db.execute(statement)
            if version != newest:  # else nothing is written, for the disk may be full
                db.execute(f"PRAGMA user_version = {newest}")

    def close(self) -> None:
        """Waits for every call that is running; those that come later fail."""
        with self._left:
            self._closed = True
            self._left.wait_for(lambda: not self._inside)
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _connection(self) -> Connection:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, factory=Connection
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -16384")  # KiB, a thread
            connection.execute("PRAGMA mmap_size = 536870912")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with self._left:
            if self._closed:
                raise IndexUnavailable(f"{self._name} is closed.")
            self._inside += 1
        try:
            yield
        except sqlite3.Error as exc:
            if getattr(exc, "sqlite_errorcode", None) in FULL:
                raise StorageFull("There is no room left on the disk.") from exc
            raise IndexUnavailable(f"{self._name} cannot be used: {exc}.") from exc
        finally:
            with self._left:
                self._inside -= 1
                self._left.notify_all()


def marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def parts(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The ids in pieces that fit into one statement."""
    for start in range(0, len(ids), VARIABLES):
        yield tuple(ids[start : start + VARIABLES])

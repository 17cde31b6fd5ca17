"""The ledger in one SQLite file: documents, chunks, the lexical index and jobs, in one transaction each.

A connection a thread (WAL: readers do not wait for the writer); writers take turns.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from answerbox.adapters.sqlite_schema import SCHEMA, SCHEMA_VERSION
from answerbox.contracts import Document, DocumentIn, DocumentInfo, DocumentPage, Job, JobError, JobStatus
from answerbox.errors import Conflict, DocumentNotFound, IndexUnavailable, JobNotFound, SetupError
from answerbox.ports import Chunk, Claimed, Ranked, StoredChunk

BUSY_TIMEOUT_S = 30.0
VARIABLES = 500
"""Ids in one statement; SQLite bounds the number of variables."""


class SqliteLedger:
    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it.

        Raises:
            SetupError: it was written by a newer Answerbox.
            IndexUnavailable: SQLite cannot open it.
        """
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writing = threading.RLock()
        self._left = threading.Condition()
        self._inside = 0
        self._closed = False
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._write() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise SetupError(
                    f"{path.name} was written by a newer Answerbox (schema {version}, known: {SCHEMA_VERSION}).",
                    hint="Start the newer version, or choose another ANSWERBOX_DATA_DIR.",
                )
        with self._translated():
            self._connection().executescript(SCHEMA + f"PRAGMA user_version = {SCHEMA_VERSION};")

    def enqueue(self, documents: Sequence[tuple[str, DocumentIn]]) -> Job:
        job_id = "job-" + uuid.uuid4().hex
        with self._write() as db:
            db.execute("INSERT INTO jobs (id, created_at) VALUES (?, ?)", (job_id, _now()))
            db.executemany(
                "INSERT INTO job_items (job_id, document_id, document, status) VALUES (?, ?, ?, 'queued')",
                [(job_id, id_, document.model_dump_json()) for id_, document in documents],
            )
        return self.job(job_id)

    def claim(self, limit: int) -> list[Claimed]:
        """The next documents in order; never two of one id, for the later must win."""
        with self._write() as db:
            rows = db.execute(
                "SELECT number, job_id, document_id, document FROM job_items "
                "WHERE status = 'queued' ORDER BY number LIMIT ?",
                (limit,),
            ).fetchall()
            taken: dict[str, Claimed] = {}
            for number, job_id, document_id, document in rows:
                if document_id in taken:
                    break
                taken[document_id] = Claimed(job_id, number, document_id, DocumentIn.model_validate_json(document))
            db.executemany(
                "UPDATE job_items SET status = 'running' WHERE number = ?",
                [(item.seq,) for item in taken.values()],
            )
        return list(taken.values())

    def unchanged(self, document_id: str, content_hash: str) -> bool:
        with self._read() as db:
            row = db.execute("SELECT content_hash FROM documents WHERE id = ?", (document_id,)).fetchone()
        return row is not None and row[0] == content_hash

    def finish(self, item: Claimed, error: str | None) -> None:
        with self._write() as db:
            db.execute(
                "UPDATE job_items SET status = ?, error = ?, document = NULL WHERE number = ?",
                ("failed" if error else "done", error, item.seq),
            )
            self._close_if_ended(db, item.job_id)

    def resume(self) -> None:
        with self._write() as db:
            db.execute("UPDATE job_items SET status = 'queued' WHERE status = 'running'")

    def job(self, job_id: str) -> Job:
        with self._read() as db:
            row = db.execute("SELECT cancelled, created_at, finished_at FROM jobs WHERE id = ?", (job_id,)).fetchone()
            if row is None:
                raise JobNotFound(f"There is no job {job_id!r}.")
            counts = dict(
                db.execute("SELECT status, count(*) FROM job_items WHERE job_id = ? GROUP BY status", (job_id,))
            )
            failed = db.execute(
                "SELECT document_id, error FROM job_items WHERE job_id = ? AND status = 'failed' ORDER BY number",
                (job_id,),
            ).fetchall()
        return Job(
            job_id=job_id,
            status=_job_status(bool(row[0]), row[2] is not None, counts),
            done=counts.get("done", 0) + counts.get("failed", 0),
            total=sum(counts.values()),
            errors=[JobError(document_id=id_, message=error) for id_, error in failed],
            created_at=row[1],
            finished_at=row[2],
        )

    def cancel(self, job_id: str) -> Job:
        with self._write() as db:
            job = self.job(job_id)
            if job.finished_at:
                raise Conflict(f"The job {job_id!r} has ended: {job.status}.")
            db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (job_id,))
            db.execute(
                "UPDATE job_items SET status = 'cancelled', document = NULL WHERE job_id = ? AND status = 'queued'",
                (job_id,),
            )
            self._close_if_ended(db, job_id)
        return self.job(job_id)

    def replace(
        self,
        document_id: str,
        document: DocumentIn,
        content_hash: str,
        chunks: Sequence[Chunk],
        terms: Sequence[str],
    ) -> list[str]:
        now = _now()
        with self._write() as db:
            before = self._drop_chunks(db, document_id)
            db.execute(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "title = excluded.title, uri = excluded.uri, language = excluded.language, "
                "metadata = excluded.metadata, text = excluded.text, content_hash = excluded.content_hash, "
                "updated_at = excluded.updated_at",
                (
                    document_id,
                    document.title,
                    document.uri,
                    document.language,
                    json.dumps(document.metadata, ensure_ascii=False),
                    document.text,
                    content_hash,
                    now,
                    now,
                ),
            )
            for chunk, words in zip(chunks, terms, strict=True):
                number = db.execute(
                    "INSERT INTO chunks (id, document_id, ordinal, text, start, end) VALUES (?, ?, ?, ?, ?, ?)",
                    (chunk.id, document_id, chunk.ordinal, chunk.text, chunk.start, chunk.end),
                ).lastrowid
                db.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", (number, words))
        return sorted(before - {chunk.id for chunk in chunks})

    def delete(self, document_id: str) -> list[str]:
        with self._write() as db:
            gone = self._drop_chunks(db, document_id)
            if not db.execute("DELETE FROM documents WHERE id = ?", (document_id,)).rowcount:
                raise DocumentNotFound(f"There is no document {document_id!r}.")
        return sorted(gone)

    def document(self, document_id: str) -> Document:
        with self._read() as db:
            row = db.execute(f"SELECT {_INFO}, text FROM documents WHERE id = ?", (document_id,)).fetchone()
        if row is None:
            raise DocumentNotFound(f"There is no document {document_id!r}.")
        return Document(**_info(row), text=row[10])

    def documents(self, after: str | None, limit: int) -> DocumentPage:
        with self._read() as db:
            rows = db.execute(
                f"SELECT {_INFO} FROM documents WHERE id > ? ORDER BY id LIMIT ?", (after or "", limit + 1)
            ).fetchall()
            total = db.execute("SELECT count(*) FROM documents").fetchone()[0]
        found = [DocumentInfo(**_info(row)) for row in rows[:limit]]
        return DocumentPage(
            documents=found,
            total=total,
            next_after=found[-1].document_id if len(rows) > limit else None,
        )

    def chunks(self, ids: Sequence[str]) -> dict[str, StoredChunk]:
        found: dict[str, StoredChunk] = {}
        with self._read() as db:
            for part in _parts(ids):
                for row in db.execute(
                    "SELECT c.id, c.document_id, c.ordinal, c.text, c.start, c.end, d.title, d.uri, d.metadata "
                    f"FROM chunks c JOIN documents d ON d.id = c.document_id WHERE c.id IN ({_marks(part)})",
                    part,
                ):
                    found[row[0]] = StoredChunk(Chunk(*row[:6]), row[6], row[7], json.loads(row[8]))
        return {id_: found[id_] for id_ in ids if id_ in found}

    def chunk_ids(self) -> list[str]:
        with self._read() as db:
            return [row[0] for row in db.execute("SELECT id FROM chunks ORDER BY number")]

    def match(self, terms: Sequence[str], limit: int, filter: dict[str, Any] | None) -> list[Ranked]:
        if not terms:
            return []
        where, values = _filter_sql(filter)
        asked = " OR ".join(f'"{term}"' for term in terms)
        with self._read() as db:
            rows = db.execute(
                "SELECT c.id, -bm25(words), words.terms FROM words JOIN chunks c ON c.number = words.rowid "
                f"JOIN documents d ON d.id = c.document_id WHERE words MATCH ? {where} "
                "ORDER BY bm25(words), c.number LIMIT ?",
                (asked, *values, limit),
            ).fetchall()
            weights = self._weights(db, terms)
        return [Ranked(id_, score, _share(weights, words)) for id_, score, words in rows]

    def coverage(self, terms: Sequence[str], ids: Sequence[str]) -> dict[str, float]:
        """For each chunk that exists: the share of the terms, weighted by their rarity, that it holds."""
        found: dict[str, float] = {}
        with self._read() as db:
            weights = self._weights(db, terms)
            for part in _parts(ids):
                for id_, words in db.execute(
                    "SELECT c.id, w.terms FROM chunks c JOIN words w ON w.rowid = c.number "
                    f"WHERE c.id IN ({_marks(part)})",
                    part,
                ):
                    found[id_] = _share(weights, words)
        return found

    def counts(self) -> tuple[int, int, int]:
        with self._read() as db:
            row = db.execute(
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks), "
                "(SELECT count(*) FROM job_items WHERE status IN ('queued', 'running'))"
            ).fetchone()
        return row[0], row[1], row[2]

    def remember(self, key: str, value: str) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO notes VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    def recall(self, key: str) -> str | None:
        with self._read() as db:
            row = db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        """Waits for every call that is running; those that come later fail as unavailable."""
        with self._left:
            self._closed = True
            self._left.wait_for(lambda: not self._inside)
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _weights(self, db: sqlite3.Connection, terms: Sequence[str]) -> dict[str, float]:
        total = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
        having = dict(db.execute(f"SELECT term, doc FROM vocabulary WHERE term IN ({_marks(terms)})", tuple(terms)))
        return {term: math.log1p((total + 1) / (having.get(term, 0) + 1)) for term in terms}

    def _drop_chunks(self, db: sqlite3.Connection, document_id: str) -> set[str]:
        rows = db.execute("SELECT number, id FROM chunks WHERE document_id = ?", (document_id,)).fetchall()
        db.executemany("DELETE FROM words WHERE rowid = ?", [(number,) for number, _ in rows])
        db.execute("DELETE FROM chunks WHERE document_id = ?", (document_id,))
        return {id_ for _, id_ in rows}

    def _close_if_ended(self, db: sqlite3.Connection, job_id: str) -> None:
        db.execute(
            "UPDATE jobs SET finished_at = ? WHERE id = ? AND finished_at IS NULL AND NOT EXISTS "
            "(SELECT 1 FROM job_items WHERE job_id = jobs.id AND status IN ('queued', 'running'))",
            (_now(), job_id),
        )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            self._connections.append(connection)
        return connection

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            yield self._connection()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block, or nothing."""
        with self._writing, self._translated():
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with self._left:
            if self._closed:
                raise IndexUnavailable("The ledger is closed.")
            self._inside += 1
        try:
            yield
        except sqlite3.Error as exc:
            raise IndexUnavailable(f"The ledger cannot be used: {exc}.") from exc
        finally:
            with self._left:
                self._inside -= 1
                self._left.notify_all()


_INFO = (
    "id, title, uri, language, metadata, (SELECT count(*) FROM chunks WHERE document_id = documents.id), "
    "length(text), content_hash, created_at, updated_at"
)


def _info(row: Sequence[Any]) -> dict[str, Any]:
    names = ("document_id", "title", "uri", "language", "metadata", "chunks", "characters", "content_hash")
    return {
        **dict(zip(names, row, strict=False)),
        "metadata": json.loads(row[4]),
        "created_at": row[8],
        "updated_at": row[9],
    }


def _filter_sql(filter: dict[str, Any] | None) -> tuple[str, list[Any]]:
    """Equality on metadata, as SQL and its values. Keys have passed the contract's pattern."""
    parts, values = [], []
    for key, value in (filter or {}).items():
        # json_extract gives 1 for true; the type tells `true` from the number.
        truth = "IN" if isinstance(value, bool) else "NOT IN"
        parts.append(f"AND json_extract(d.metadata, '$.\"{key}\"') = ?")
        parts.append(f"AND json_type(d.metadata, '$.\"{key}\"') {truth} ('true', 'false')")
        values.append(value)
    return " ".join(parts), values


def _share(weights: dict[str, float], words: str) -> float:
    having = set(words.split(" "))
    return sum(weight for term, weight in weights.items() if term in having) / (sum(weights.values()) or 1.0)


def _job_status(cancelled: bool, ended: bool, counts: dict[str, int]) -> JobStatus:
    if ended and cancelled:
        return "cancelled"
    if ended:
        return "failed" if counts.get("failed") else "succeeded"
    return "queued" if set(counts) <= {"queued"} else "running"


def _parts(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(ids), VARIABLES):
        yield tuple(ids[start : start + VARIABLES])


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

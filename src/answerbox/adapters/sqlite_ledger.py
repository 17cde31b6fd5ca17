"""The ledger in one SQLite file: documents, chunks, words, vectors and jobs, in one transaction each.

The queue is `sqlite_jobs.py`, searching is `sqlite_search.py`, connections are `sqlite_file.py`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from answerbox.adapters.sqlite_file import SqliteFile
from answerbox.adapters.sqlite_jobs import SqliteJobs, bury, end_item, is_running, now
from answerbox.adapters.sqlite_schema import COPY_WORDS, FROM_1, SCHEMA, SCHEMA_VERSION
from answerbox.adapters.sqlite_search import Frequencies, SqliteSnapshot, blob, packed
from answerbox.contracts import Document, DocumentIn, DocumentInfo, DocumentPage
from answerbox.errors import DocumentNotFound
from answerbox.ledger import Claimed, Revision, Scope, Snapshot, StoredChunk, name_of
from answerbox.ports import Vector


class SqliteLedger(SqliteJobs):
    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it.

        Raises:
            SetupError: it was written by a newer Answerbox.
            IndexUnavailable: SQLite cannot open it.
        """
        super().__init__(SqliteFile(path))
        self._frequencies = Frequencies()
        self._file.bring_to(SCHEMA_VERSION, lambda version: _statements(_script(version)))

    def unchanged(self, key: str, content_hash: str, recipe: str) -> bool:
        with self._file.read() as db:
            row = db.execute("SELECT content_hash, recipe FROM documents WHERE id = ?", (key,)).fetchone()
        return row is not None and tuple(row) == (content_hash, recipe)

    def replace(self, item: Claimed, revision: Revision) -> list[str] | None:
        assert item.document
        with self._file.write() as db:
            if not is_running(db, item):
                return None
            before = _drop_chunks(db, item.key)
            _write_document(db, item.key, item.document, revision)
            _write_chunks(db, item.key, revision)
            end_item(db, item, None)
        return sorted(before - {chunk.id for chunk in revision.chunks})

    def delete(self, key: str) -> list[str]:
        with self._file.write() as db:
            gone = _drop_chunks(db, key)
            waited = bury(db, key)
            if not db.execute("DELETE FROM documents WHERE id = ?", (key,)).rowcount and not waited:
                raise DocumentNotFound(f"There is no document {name_of(key)!r}.")
        return sorted(gone)

    def document(self, key: str) -> Document:
        with self._file.read() as db:
            row = db.execute(f"SELECT {_INFO}, text FROM documents WHERE id = ?", (key,)).fetchone()
        if row is None:
            raise DocumentNotFound(f"There is no document {name_of(key)!r}.")
        return Document(**_info(row), text=row[-1])

    def documents(self, after: str | None, limit: int, readers: tuple[str, ...] | None) -> DocumentPage:
        mine = "" if readers is None else f"AND owner IN ({', '.join('?' * len(readers))})"
        values = readers or ()
        with self._file.snapshot() as db:
            rows = db.execute(
                f"SELECT id, {_INFO} FROM documents WHERE id > ? {mine} ORDER BY id LIMIT ?",
                (after or "", *values, limit + 1),
            ).fetchall()
            total = db.execute(f"SELECT count(*) FROM documents WHERE 1 {mine}", values).fetchone()[0]
        return DocumentPage(
            documents=[DocumentInfo(**_info(row[1:])) for row in rows[:limit]],
            total=total,
            next_after=rows[limit - 1][0] if len(rows) > limit else None,
        )

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with self._file.snapshot() as db:
            yield SqliteSnapshot(db, self._frequencies)

    def chunk_ids(self) -> list[str]:
        with self._file.read() as db:
            return [row[0] for row in db.execute("SELECT id FROM chunks ORDER BY number")]

    def stored(self, ids: Sequence[str]) -> dict[str, StoredChunk]:
        with self._file.read() as db:
            return SqliteSnapshot(db, self._frequencies).chunks(ids, Scope())

    def put_vectors(self, fingerprint: str, vectors: Mapping[str, Vector]) -> None:
        with self._file.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO vectors SELECT number, ?, ? FROM chunks WHERE id = ?",
                [(fingerprint, blob(vector), id_) for id_, vector in vectors.items()],
            )

    def get_vectors(self, ids: Sequence[str], fingerprint: str) -> dict[str, Vector]:
        with self._file.read() as db:
            return SqliteSnapshot(db, self._frequencies).vectors(ids, fingerprint)

    def drop_vectors(self, fingerprint: str) -> None:
        with self._file.write() as db:
            db.execute("DELETE FROM vectors WHERE fingerprint = ?", (fingerprint,))

    def counts(self) -> tuple[int, int, int]:
        with self._file.read() as db:
            row = db.execute(
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks), "
                "(SELECT count(*) FROM job_items WHERE status IN ('queued', 'running'))"
            ).fetchone()
        return row[0], row[1], row[2]

    def has_owners(self) -> bool:
        with self._file.read() as db:
            return db.execute("SELECT 1 FROM documents WHERE owner != '' LIMIT 1").fetchone() is not None

    def remember(self, key: str, value: str) -> None:
        if self.recall(key) == value:
            return
        with self._file.write() as db:
            db.execute(
                "INSERT INTO notes VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

    def recall(self, key: str) -> str | None:
        with self._file.read() as db:
            row = db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def close(self) -> None:
        self._file.close()


def _script(version: int) -> str:
    return FROM_1 + SCHEMA + COPY_WORDS if version == 1 else SCHEMA


def _statements(script: str) -> Iterator[str]:
    """One by one, for `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _write_document(db: sqlite3.Connection, key: str, document: DocumentIn, revision: Revision) -> None:
    written = now()
    db.execute(
        "INSERT INTO documents (id, name, owner, title, uri, language, metadata, text, pages, content_hash, recipe, "
        "created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "title = excluded.title, uri = excluded.uri, language = excluded.language, metadata = excluded.metadata, "
        "text = excluded.text, pages = excluded.pages, content_hash = excluded.content_hash, "
        "recipe = excluded.recipe, updated_at = excluded.updated_at",
        (
            key,
            name_of(key),
            document.user_id or "",
            document.title,
            document.uri,
            document.language,
            json.dumps(document.metadata, ensure_ascii=False),
            document.text,
            json.dumps(document.pages) if document.pages else None,
            revision.content_hash,
            revision.recipe,
            written,
            written,
        ),
    )


def _write_chunks(db: sqlite3.Connection, key: str, revision: Revision) -> None:
    for chunk, words, vector in zip(revision.chunks, revision.words, revision.vectors, strict=True):
        number = db.execute(
            "INSERT INTO chunks (id, document_id, ordinal, text, start, end, headings, page) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                chunk.id,
                key,
                chunk.ordinal,
                chunk.text,
                chunk.start,
                chunk.end,
                json.dumps(chunk.headings, ensure_ascii=False),
                chunk.page,
            ),
        ).lastrowid
        db.execute("INSERT INTO words (rowid, terms, parts) VALUES (?, ?, ?)", (number, *packed(words)))
        db.execute("INSERT INTO vectors VALUES (?, ?, ?)", (number, revision.fingerprint, blob(vector)))


def _drop_chunks(db: sqlite3.Connection, key: str) -> set[str]:
    rows = db.execute("SELECT number, id FROM chunks WHERE document_id = ?", (key,)).fetchall()
    db.executemany("DELETE FROM words WHERE rowid = ?", [(number,) for number, _ in rows])
    db.execute("DELETE FROM chunks WHERE document_id = ?", (key,))
    return {id_ for _, id_ in rows}


_INFO = (
    "name, owner, title, uri, language, metadata, "
    "(SELECT count(*) FROM chunks WHERE document_id = documents.id), "
    "length(text), content_hash, created_at, updated_at, json_array_length(pages)"
)


def _info(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "document_id": row[0],
        "user_id": row[1] or None,
        "title": row[2],
        "uri": row[3],
        "language": row[4],
        "metadata": json.loads(row[5]),
        "chunks": row[6],
        "characters": row[7],
        "content_hash": row[8],
        "created_at": row[9],
        "updated_at": row[10],
        "pages": row[11],
    }

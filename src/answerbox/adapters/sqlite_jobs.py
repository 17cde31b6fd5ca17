"""The queue of the ledger: jobs, and the documents and files in them."""

from __future__ import annotations

import json
import logging
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from answerbox.adapters.sqlite_file import Connection, SqliteFile
from answerbox.contracts import DocumentIn, Job, JobError, JobStage, JobStatus
from answerbox.errors import Conflict, JobNotFound
from answerbox.ledger import Claimed, name_of
from answerbox.ports import FileIn

log = logging.getLogger(__name__)

KEPT_DAYS = 30
"""A job that ended so long ago is forgotten."""
STATES = """
SELECT CASE
    WHEN finished_at IS NULL AND kind = 'ingest' AND NOT EXISTS
        (SELECT 1 FROM job_items WHERE job_id = jobs.id AND status != 'queued') THEN 'queued'
    WHEN finished_at IS NULL THEN 'running'
    WHEN cancelled THEN 'cancelled'
    WHEN error IS NOT NULL OR EXISTS
        (SELECT 1 FROM job_items WHERE job_id = jobs.id AND status = 'failed') THEN 'failed'
    ELSE 'succeeded' END AS state, count(*)
FROM jobs GROUP BY state
"""
"""As `_status` has it for one job."""
CHUNKS = """
SELECT count(*) FROM chunks
WHERE document_id IN (SELECT document_id FROM job_items WHERE job_id = ? AND status = 'done')
"""


class SqliteJobs:
    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def enqueue(self, items: Sequence[tuple[str, DocumentIn | FileIn]], idempotency: tuple[str, str] | None) -> Job:
        job_id = "job-" + uuid.uuid4().hex
        key, digest = idempotency or (None, None)
        with self._file.write() as db:
            if known := _same_request(db, key, digest):
                return read_job(db, known)
            db.execute(
                "INSERT INTO jobs (id, idempotency_key, digest, created_at) VALUES (?, ?, ?, ?)",
                (job_id, key, digest, now()),
            )
            db.executemany(
                "INSERT INTO job_items (job_id, document_id, kind, document, upload, status) "
                "VALUES (?, ?, ?, ?, ?, 'queued')",
                [(job_id, document_key, *_packed(item)) for document_key, item in items],
            )
            return read_job(db, job_id)

    def requeue(self, recipe: str) -> int:
        job_id = "job-" + uuid.uuid4().hex
        with self._file.write() as db:
            stale = "FROM documents d WHERE d.recipe != ? AND NOT EXISTS (SELECT 1 FROM job_items i WHERE "
            stale += "i.document_id = d.id AND i.status IN ('queued', 'running'))"
            count = int(db.execute(f"SELECT count(*) {stale}", (recipe,)).fetchone()[0])
            if count:
                db.execute("INSERT INTO jobs (id, created_at) VALUES (?, ?)", (job_id, now()))
                db.execute(
                    "INSERT INTO job_items (job_id, document_id, kind, status) "
                    f"SELECT ?, d.id, 'stored', 'queued' {stale} ORDER BY d.rowid",
                    (job_id, recipe),
                )
        return count

    def claim(self, limit: int) -> list[Claimed]:
        """The next items in order; never two of one document, for the later must win. A file comes alone."""
        with self._file.write() as db:
            rows = db.execute(
                "SELECT number, job_id, document_id, kind, document FROM job_items "
                "WHERE status = 'queued' ORDER BY number LIMIT ?",
                (limit,),
            ).fetchall()
            taken: dict[str, Claimed] = {}
            for number, job_id, key, kind, document in rows:
                if key in taken or (kind == "file" and taken):
                    break
                taken[key] = _claimed(db, job_id, number, key, kind, document)
                if kind == "file":
                    break
            db.executemany(
                "UPDATE job_items SET status = 'running' WHERE number = ?",
                [(item.number,) for item in taken.values()],
            )
        return list(taken.values())

    def expand(self, item: Claimed, documents: Sequence[tuple[str, DocumentIn]]) -> None:
        with self._file.write() as db:
            if not is_running(db, item):
                return
            buried = dict(db.execute("SELECT document_id, number FROM tombstones"))
            rows = []
            for key, document in documents:
                status = "cancelled" if buried.get(key, 0) >= item.number else "queued"
                rows.append((item.job_id, key, *_packed(document), status))
            db.executemany(
                "INSERT INTO job_items (job_id, document_id, kind, document, upload, status) VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute("DELETE FROM job_items WHERE number = ?", (item.number,))
            close_if_ended(db, item.job_id)

    def finish(self, item: Claimed, error: str | None) -> None:
        with self._file.write() as db:
            end_item(db, item, error)

    def resume(self) -> None:
        with self._file.write() as db:
            db.execute("UPDATE job_items SET status = 'queued' WHERE status = 'running'")
            db.execute(
                "DELETE FROM jobs WHERE finished_at < datetime('now', ?)",
                (f"-{KEPT_DAYS} days",),
            )

    def uploads(self) -> set[str]:
        with self._file.read() as db:
            rows = db.execute(
                "SELECT upload FROM job_items WHERE upload IS NOT NULL AND status IN ('queued', 'running')"
            )
            return {row[0] for row in rows}

    def job(self, job_id: str) -> Job:
        with self._file.snapshot() as db:
            return read_job(db, job_id)

    def job_states(self) -> dict[JobStatus, int]:
        with self._file.read() as db:
            return dict(db.execute(STATES))

    def cancel(self, job_id: str) -> Job:
        with self._file.write() as db:
            job = read_job(db, job_id)
            if job.finished_at:
                raise Conflict(f"The job {job_id!r} has ended: {job.status}.")
            db.execute("UPDATE jobs SET cancelled = 1 WHERE id = ?", (job_id,))
            db.execute(
                "UPDATE job_items SET status = 'cancelled', document = NULL "
                "WHERE job_id = ? AND status IN ('queued', 'running')",
                (job_id,),
            )
            close_if_ended(db, job_id)
            return read_job(db, job_id)

    def begin_reindex(self, fingerprint: str) -> Job:
        with self._file.write() as db:
            row = db.execute("SELECT id FROM jobs WHERE kind = 'reindex' AND finished_at IS NULL").fetchone()
            if row:
                return read_job(db, row[0])
            job_id = "job-" + uuid.uuid4().hex
            db.execute(
                "INSERT INTO jobs (id, kind, digest, created_at) VALUES (?, 'reindex', ?, ?)",
                (job_id, fingerprint, now()),
            )
            return read_job(db, job_id)

    def reindexing(self) -> str | None:
        with self._file.read() as db:
            row = db.execute("SELECT digest FROM jobs WHERE kind = 'reindex' AND finished_at IS NULL").fetchone()
        return row[0] if row else None

    def end_reindex(self, error: str | None = None) -> None:
        with self._file.write() as db:
            sql = (
                "UPDATE jobs SET finished_at = ?, error = ? WHERE kind = 'reindex' AND finished_at IS NULL RETURNING id"
            )
            for row in db.execute(sql, (now(), error)).fetchall():
                db.later.append(partial(_tell_of_end, db, row[0]))


def is_running(db: sqlite3.Connection, item: Claimed) -> bool:
    """Whether nobody has cancelled the item since it was claimed."""
    row = db.execute("SELECT status FROM job_items WHERE number = ?", (item.number,)).fetchone()
    return row is not None and row[0] == "running"


def end_item(db: Connection, item: Claimed, error: str | None) -> None:
    db.execute(
        "UPDATE job_items SET status = ?, error = ?, document = NULL WHERE number = ? AND status = 'running'",
        ("failed" if error else "done", error, item.number),
    )
    close_if_ended(db, item.job_id)


def bury(db: Connection, key: str) -> bool:
    """Ends what waits for the document, also in files that are not read yet. Whether something waited."""
    jobs = {
        row[0]
        for row in db.execute(
            "SELECT job_id FROM job_items WHERE document_id = ? AND status IN ('queued', 'running')", (key,)
        )
    }
    db.execute(
        "UPDATE job_items SET status = 'cancelled', document = NULL "
        "WHERE document_id = ? AND status IN ('queued', 'running')",
        (key,),
    )
    unread = "SELECT max(number) FROM job_items WHERE kind = 'file' AND status IN ('queued', 'running')"
    if (newest := db.execute(unread).fetchone()[0]) is None:
        db.execute("DELETE FROM tombstones")
    else:
        db.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?)", (key, newest))
    for job_id in jobs:
        close_if_ended(db, job_id)
    return bool(jobs)


def close_if_ended(db: Connection, job_id: str) -> None:
    closed = db.execute(
        "UPDATE jobs SET finished_at = ? WHERE id = ? AND finished_at IS NULL AND kind = 'ingest' AND NOT EXISTS "
        "(SELECT 1 FROM job_items WHERE job_id = jobs.id AND status IN ('queued', 'running'))",
        (now(), job_id),
    )
    if closed.rowcount:
        db.later.append(partial(_tell_of_end, db, job_id))


def _tell_of_end(db: sqlite3.Connection, job_id: str) -> None:
    """The job's line in the log."""
    try:
        fields = _figures(db, job_id)
    except sqlite3.Error:  # the job has ended nevertheless
        log.exception("job", extra={"job_id": job_id})
        return
    level = logging.WARNING if fields["status"] == "failed" else logging.INFO
    log.log(level, "job", extra={name: value for name, value in fields.items() if value is not None})


def _figures(db: sqlite3.Connection, job_id: str) -> dict[str, Any]:
    job, kind = read_job(db, job_id), db.execute("SELECT kind FROM jobs WHERE id = ?", (job_id,)).fetchone()[0]
    is_reindex = kind == "reindex"
    began, ended = (datetime.fromisoformat(at) for at in (job.created_at, job.finished_at or now()))
    return {
        "job_id": job_id,
        "kind": kind,
        "status": job.status,
        "documents": None if is_reindex else job.total,
        "chunks": job.total if is_reindex else db.execute(CHUNKS, (job_id,)).fetchone()[0],
        "errors": len(job.errors),
        "duration_ms": round((ended - began).total_seconds() * 1000),
    }


def read_job(db: sqlite3.Connection, job_id: str) -> Job:
    row = db.execute(
        "SELECT kind, cancelled, error, digest, created_at, finished_at FROM jobs WHERE id = ?", (job_id,)
    ).fetchone()
    if row is None:
        raise JobNotFound(f"There is no job {job_id!r}.")
    kind, cancelled, error, digest, created_at, finished_at = row
    counts = _reindex_counts(db, digest, error) if kind == "reindex" else _counts(db, job_id)
    unread = db.execute(
        "SELECT 1 FROM job_items WHERE job_id = ? AND kind = 'file' AND status IN ('queued', 'running') LIMIT 1",
        (job_id,),
    ).fetchone()
    status = _status(bool(cancelled), finished_at is not None, counts)
    return Job(
        job_id=job_id,
        status=status,
        stage=_stage(status, unread is not None),
        done=counts.get("done", 0) + counts.get("failed", 0),
        total=sum(counts.values()),
        counts=counts,
        errors=_errors(db, job_id, error),
        created_at=created_at,
        finished_at=finished_at,
    )


def _counts(db: sqlite3.Connection, job_id: str) -> dict[str, int]:
    return dict(db.execute("SELECT status, count(*) FROM job_items WHERE job_id = ? GROUP BY status", (job_id,)))


def _reindex_counts(db: sqlite3.Connection, fingerprint: str, error: str | None) -> dict[str, int]:
    """In chunks."""
    total = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
    made = db.execute("SELECT count(*) FROM vectors WHERE fingerprint = ?", (fingerprint,)).fetchone()[0]
    left = total - made
    return {"done": made, **({"failed" if error else "running": left} if left else {})}


def _errors(db: sqlite3.Connection, job_id: str, error: str | None) -> list[JobError]:
    failed = db.execute(
        "SELECT document_id, error FROM job_items WHERE job_id = ? AND status = 'failed' ORDER BY number", (job_id,)
    )
    found = [JobError(document_id=name_of(key), message=message) for key, message in failed]
    return [*found, *([JobError(document_id="", message=error)] if error else [])]


def _status(cancelled: bool, ended: bool, counts: dict[str, int]) -> JobStatus:
    if ended and cancelled:
        return "cancelled"
    if ended:
        return "failed" if counts.get("failed") else "succeeded"
    return "queued" if set(counts) <= {"queued"} else "running"


def _stage(status: JobStatus, unread: bool) -> JobStage:
    if status == "queued":
        return "queued"
    if status != "running":
        return "ended"
    return "reading" if unread else "indexing"


def _same_request(db: sqlite3.Connection, key: str | None, digest: str | None) -> str | None:
    """The job that was made under that key. Raises: Conflict."""
    if key is None:
        return None
    row = db.execute("SELECT id, digest FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row[1] != digest:
        raise Conflict(
            f"The idempotency key {key!r} was used for another request.",
            hint="Use a new Idempotency-Key for each request; send the same one only to repeat the same body.",
        )
    return str(row[0])


def _packed(item: DocumentIn | FileIn) -> tuple[str, str, str | None]:
    if isinstance(item, FileIn):
        return "file", json.dumps(asdict(item)), item.upload_id
    return "document", item.model_dump_json(), None


def _claimed(db: sqlite3.Connection, job_id: str, number: int, key: str, kind: str, document: str | None) -> Claimed:
    if kind == "file":
        return Claimed(job_id, number, key, file=FileIn(**json.loads(document or "{}")))
    if kind == "document":
        return Claimed(job_id, number, key, document=DocumentIn.model_validate_json(document or "{}"))
    row = db.execute(
        "SELECT text, name, owner, title, uri, language, metadata, pages FROM documents WHERE id = ?", (key,)
    ).fetchone()
    if row is None:  # deleted meanwhile
        return Claimed(job_id, number, key)
    text, name, owner, title, uri, language, metadata, pages = row
    stored = DocumentIn(
        text=text,
        id=name,
        user_id=owner or None,
        title=title,
        uri=uri,
        language=language,
        metadata=json.loads(metadata),
        pages=json.loads(pages) if pages else None,
    )
    return Claimed(job_id, number, key, document=stored)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

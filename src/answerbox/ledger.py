"""The port of the ledger: the source of truth for documents, passages, words, vectors and jobs.

Who implements it: `adapters/sqlite_ledger.py`. Failures cross it only as classes of `errors.py`: where it cannot be
used, every method raises IndexUnavailable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, JobStatus
from answerbox.filters import Filter
from answerbox.ports import Chunk, FileIn, Vector

OWNER_END = "\x1f"
"""Ends the owner in a document's key; neither ids nor user ids can have it."""


def name_of(key: str) -> str:
    """The document's id as the caller knows it."""
    return key.rpartition(OWNER_END)[2]


@dataclass(frozen=True)
class Claimed:
    """A piece of a job, taken for work: a document, or a file that is to be read first. `key` is the document's."""

    job_id: str
    number: int
    key: str
    document: DocumentIn | None = None
    file: FileIn | None = None


@dataclass(frozen=True)
class Revision:
    """A document cut, stemmed and embedded: what `Ledger.replace` switches to.

    `words` are the chunks' stems, `vectors` were made by the model of `fingerprint`, `recipe` is the chunker's.
    """

    content_hash: str
    recipe: str
    chunks: Sequence[Chunk]
    words: Sequence[Words]
    fingerprint: str
    vectors: Sequence[Vector]


@dataclass(frozen=True)
class Words:
    """What the lexical index holds of a chunk: the stems of each sentence, title and headings first."""

    sentences: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Match:
    """A chunk that has some of the terms; `score` is BM25, higher is better."""

    chunk_id: str
    score: float
    words: Words


@dataclass(frozen=True)
class StoredChunk:
    """A chunk and what its document says of itself; `document_id` is the public one."""

    chunk: Chunk
    document_id: str
    user_id: str | None
    title: str | None
    uri: str | None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """Which documents a search may see. `readers` are the owners whose documents it may, None for all."""

    filter: Filter | None = None
    readers: tuple[str, ...] | None = None


class Snapshot(Protocol):
    """The ledger at one moment: every call sees the same state."""

    def match(self, terms: Sequence[str], limit: int, scope: Scope) -> list[Match]:
        """The best chunks by BM25 over stems and their beginnings."""
        ...

    def rows(self, terms: Sequence[str], ids: Sequence[str]) -> list[Match]:
        """Those of the chunks that exist, each with its BM25, which is 0 where it has none of the terms."""
        ...

    def weights(self, terms: Sequence[str]) -> dict[str, float]:
        """How rare each term is: the logarithm of the inverse share of chunks that have it."""
        ...

    def chunks(self, ids: Sequence[str], scope: Scope) -> dict[str, StoredChunk]:
        """Those of the chunks that exist and are in the scope."""
        ...

    def scoped(self, scope: Scope, limit: int) -> list[str] | None:
        """All chunks of the scope; None where they are more than `limit`."""
        ...

    def cosines(self, ids: Sequence[str], vector: Vector, fingerprint: str) -> dict[str, float]:
        """Of the chunks that have a vector of that model, all of them being of norm 1."""
        ...


class Ledger(Protocol):
    """The source of truth: documents, chunks, words, vectors and jobs. Blocking; safe to call from several threads.

    Documents are known by their `key`: id and owner (`documents/identity.py`).
    """

    def enqueue(self, items: Sequence[tuple[str, DocumentIn | FileIn]], idempotency: tuple[str, str] | None) -> Job:
        """A new job. `idempotency` is a key and a digest of the request: the same pair is the same job.

        Raises: Conflict (the same key, another digest).
        """
        ...

    def claim(self, limit: int) -> list[Claimed]: ...
    def expand(self, item: Claimed, documents: Sequence[tuple[str, DocumentIn]]) -> None:
        """Puts the documents of a file into its job, in the file's place."""
        ...

    def replace(self, item: Claimed, revision: Revision) -> list[str] | None:
        """Switches the document to its new content and ends the item, in one transaction.

        Returns the chunk ids that are gone; None where the item was cancelled meanwhile and nothing was changed.
        """
        ...

    def finish(self, item: Claimed, error: str | None) -> None: ...
    def resume(self) -> None:
        """Puts work that a dead process had claimed back into the queue."""
        ...

    def requeue(self, recipe: str) -> int:
        """A job for every document that was cut by another recipe; returns how many."""
        ...

    def uploads(self) -> set[str]:
        """Ids of the uploads that jobs still need."""
        ...

    def job(self, job_id: str) -> Job: ...
    def cancel(self, job_id: str) -> Job: ...
    def unchanged(self, key: str, content_hash: str, recipe: str) -> bool: ...
    def delete(self, key: str) -> list[str]:
        """Returns the chunk ids that are gone; what waits for the key is cancelled. Raises: DocumentNotFound."""
        ...

    def document(self, key: str) -> Document: ...
    def documents(self, after: str | None, limit: int, readers: tuple[str, ...] | None) -> DocumentPage: ...
    def snapshot(self) -> AbstractContextManager[Snapshot]: ...
    def chunk_ids(self) -> list[str]: ...
    def stored(self, ids: Sequence[str]) -> dict[str, StoredChunk]: ...
    def put_vectors(self, fingerprint: str, vectors: Mapping[str, Vector]) -> None: ...
    def get_vectors(self, ids: Sequence[str], fingerprint: str) -> dict[str, Vector]: ...
    def drop_vectors(self, fingerprint: str) -> None: ...
    def begin_reindex(self, fingerprint: str) -> Job:
        """The job that makes vectors of that model; the one that runs, if there is one."""
        ...

    def reindexing(self) -> str | None:
        """The fingerprint of the reindex job that is to be done."""
        ...

    def end_reindex(self, error: str | None = None) -> None: ...
    def counts(self) -> tuple[int, int, int]:
        """Documents, chunks, items that wait in jobs."""
        ...

    def job_states(self) -> dict[JobStatus, int]:
        """How many jobs there are of each status."""
        ...

    def has_owners(self) -> bool: ...
    def remember(self, key: str, value: str) -> None: ...
    def recall(self, key: str) -> str | None: ...
    def close(self) -> None: ...

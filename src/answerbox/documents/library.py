"""The library: documents come in, passages come out.

The ledger is the source of truth. For one document the order is: embed, put the vectors, switch the ledger in one
transaction, drop old vectors. A vector that the ledger does not know is never shown, so a crash between any
two of these steps shows either all of the old document or all of the new one, and the job is simply done again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, Source
from answerbox.documents.chunking import Chunker
from answerbox.documents.identity import content_hash, document_id
from answerbox.documents.search import fuse
from answerbox.errors import AnswerboxError, EmbedderUnavailable, InvalidRequest
from answerbox.ports import Chunk, Claimed, Embedder, IndexInfo, Ledger, SearchQuery, Vector, VectorStore
from answerbox.text import content_terms, terms

log = logging.getLogger(__name__)
T = TypeVar("T")

AT_ONCE = 8
"""Documents of a job that are embedded at the same time, so that the embedder can batch them."""
WRITE_BATCH = 50
"""Vectors per write: embedded Chroma freezes the process while it writes."""
CANDIDATES = 50
"""Length of each list before fusion, at least."""
EMBED_ATTEMPT_DELAY_S = 1.0


@dataclass
class Library:
    ledger: Ledger
    vectors: VectorStore
    embedder: Embedder
    chunker: Chunker

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Embeds what the ledger has and the vectors lack, then works off the jobs, also of a former life."""
        await asyncio.to_thread(self.ledger.resume)
        self._worker = asyncio.create_task(self._work(), name="ingestion")

    async def stop(self) -> None:
        if self._worker:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker
        await asyncio.to_thread(self.vectors.close)
        await asyncio.to_thread(self.ledger.close)

    async def info(self) -> IndexInfo:
        documents, chunks, waiting = await asyncio.to_thread(self.ledger.counts)
        embedder = await self.embedder.info()
        embedded = len(await asyncio.to_thread(self.vectors.ids))
        return IndexInfo(documents, chunks, embedded, waiting, embedder.model)

    async def add(self, documents: Sequence[DocumentIn]) -> Job:
        named = [(document_id(document), document) for document in documents]
        seen: set[str] = set()
        for id_, _ in named:
            if id_ in seen:
                raise InvalidRequest(
                    f"Two documents of the request have the id {id_!r}.",
                    errors=[{"field": "documents", "message": f"the id {id_!r} stands twice"}],
                )
            seen.add(id_)
        job = await asyncio.to_thread(self.ledger.enqueue, named)
        self._wake.set()
        return job

    async def job(self, job_id: str) -> Job:
        return await asyncio.to_thread(self.ledger.job, job_id)

    async def cancel(self, job_id: str) -> Job:
        return await asyncio.to_thread(self.ledger.cancel, job_id)

    async def documents(self, after: str | None, limit: int) -> DocumentPage:
        return await asyncio.to_thread(self.ledger.documents, after, limit)

    async def document(self, document_id: str) -> Document:
        return await asyncio.to_thread(self.ledger.document, document_id)

    async def delete(self, document_id: str) -> None:
        gone = await asyncio.to_thread(self.ledger.delete, document_id)
        await asyncio.to_thread(self.vectors.delete, gone)

    async def search(self, query: SearchQuery) -> list[Source]:
        return await asyncio.to_thread(self._search, query)

    def _search(self, query: SearchQuery) -> list[Source]:
        limit = max(CANDIDATES, 2 * query.top_k)
        wanted = content_terms(query.text)
        lexical = self.ledger.match(wanted, limit, query.filter)
        dense = self.vectors.query(query.vector, limit, query.filter) if query.vector else []
        known = {ranked.chunk_id: ranked.coverage for ranked in lexical}
        known |= self.ledger.coverage(wanted, [id_ for id_, _ in dense if id_ not in known])
        # `coverage` leaves out what the ledger does not have (any more).
        dense = [(id_, cosine) for id_, cosine in dense if id_ in known]
        hits = fuse(dense, [ranked.chunk_id for ranked in lexical], known, query.top_k)
        stored = self.ledger.chunks([hit.chunk_id for hit in hits])
        return [
            Source(
                document_id=stored[hit.chunk_id].chunk.document_id,
                chunk_id=hit.chunk_id,
                title=stored[hit.chunk_id].title,
                uri=stored[hit.chunk_id].uri,
                text=stored[hit.chunk_id].chunk.text,
                score=hit.relevance,
            )
            for hit in hits
            if hit.chunk_id in stored
        ]

    async def _work(self) -> None:
        await _patiently(self._reconcile)
        while True:
            self._wake.clear()
            items = await _patiently(lambda: asyncio.to_thread(self.ledger.claim, AT_ONCE))
            if not items:
                await self._wake.wait()
                continue
            await asyncio.gather(*(self._ingest(item) for item in items))

    async def _reconcile(self) -> None:
        """Vectors for chunks that lack them (another model, lost files); none for chunks that are gone."""
        await self.embedder.info()
        have = await asyncio.to_thread(self.vectors.ids)
        known = await asyncio.to_thread(self.ledger.chunk_ids)
        await asyncio.to_thread(self.vectors.delete, sorted(have - set(known)))
        missing = [id_ for id_ in known if id_ not in have]
        for start in range(0, len(missing), WRITE_BATCH):
            stored = await asyncio.to_thread(self.ledger.chunks, missing[start : start + WRITE_BATCH])
            chunks = [row.chunk for row in stored.values()]
            vectors = await self.embedder.embed([chunk.text for chunk in chunks], "passage")
            metadatas = [_vector_metadata(row.chunk.document_id, row.metadata) for row in stored.values()]
            await asyncio.to_thread(self.vectors.upsert, [c.id for c in chunks], vectors, metadatas)

    async def _ingest(self, item: Claimed) -> None:
        error = None
        try:
            await self._index(item)
        except AnswerboxError as exc:
            error = exc.message
        except Exception:
            log.exception("document %r could not be indexed", item.document_id)
            error = "An unexpected failure; the service's log has it."
        await _patiently(lambda: asyncio.to_thread(self.ledger.finish, item, error))

    async def _index(self, item: Claimed) -> None:
        fingerprint = content_hash(item.document)
        if await asyncio.to_thread(self.ledger.unchanged, item.document_id, fingerprint):
            return
        chunks = await asyncio.to_thread(self.chunker.chunks, item.document_id, item.document.text)
        if not chunks:
            raise InvalidRequest("The text has no words.")
        vectors = await self._embed([chunk.text for chunk in chunks])
        metadata = _vector_metadata(item.document_id, item.document.metadata)
        await asyncio.to_thread(self._store, item, fingerprint, chunks, vectors, metadata)

    def _store(
        self,
        item: Claimed,
        fingerprint: str,
        chunks: Sequence[Chunk],
        vectors: Sequence[Vector],
        metadata: dict[str, Any],
    ) -> None:
        for start in range(0, len(chunks), WRITE_BATCH):
            batch = chunks[start : start + WRITE_BATCH]
            part = vectors[start : start + WRITE_BATCH]
            self.vectors.upsert([chunk.id for chunk in batch], part, [metadata] * len(batch))
        words = [" ".join(terms(f"{item.document.title or ''} {chunk.text}")) for chunk in chunks]
        gone = self.ledger.replace(item.document_id, item.document, fingerprint, chunks, words)
        self.vectors.delete(gone)

    async def _embed(self, texts: Sequence[str]) -> list[Vector]:
        """Vectors of all texts; waits while the embedder is down, for the document must not be lost."""
        vectors: list[Vector] = []
        while len(vectors) < len(texts):
            try:
                batch = texts[len(vectors) : len(vectors) + WRITE_BATCH]
                vectors += await self.embedder.embed(batch, "passage")
            except EmbedderUnavailable as exc:
                log.warning("ingestion waits for the embedder: %s", exc.message)
                await asyncio.sleep(EMBED_ATTEMPT_DELAY_S)
        return vectors


async def _patiently(step: Callable[[], Awaitable[T]]) -> T:
    """The result of a step of the worker, tried until it works: a full disk must not end ingestion for good."""
    while True:
        try:
            return await step()
        except AnswerboxError as exc:
            log.warning("the index waits: %s", exc.message)
            await asyncio.sleep(EMBED_ATTEMPT_DELAY_S)


def _vector_metadata(document_id: str, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"document_id": document_id, **{f"m.{key}": value for key, value in metadata.items()}}

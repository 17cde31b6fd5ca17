"""The library: documents come in, passages come out. A `DocumentStore` over the ledger and the vector store.

The ledger is the source of truth; `ingestion.py` works off its jobs, `vector_half.py` keeps the vector store like it,
`search.py` asks both.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from answerbox.contracts import Document, DocumentIn, DocumentPage, Job, JobStatus
from answerbox.documents.chunking import Chunker
from answerbox.documents.identity import content_hash, document_id, key_of, readers
from answerbox.documents.ingestion import Ingestion
from answerbox.documents.search import Searcher, search_threads
from answerbox.documents.uploads import Uploads
from answerbox.documents.vector_half import Former, VectorHalf
from answerbox.errors import InvalidRequest
from answerbox.ledger import Ledger, name_of
from answerbox.ports import (
    Embedder,
    FileIn,
    FileReader,
    IndexInfo,
    SearchQuery,
    SearchResult,
    VectorStores,
)


class Library:
    def __init__(
        self,
        ledger: Ledger,
        stores: VectorStores,
        embedder: Embedder,
        chunker: Chunker,
        reader: FileReader,
        uploads: Uploads,
        former: Former,
        patience_s: float = 3.0,
        isolation: bool = False,
    ) -> None:
        self.ledger = ledger
        self._chunker = chunker
        self._reader = reader
        self._uploads = uploads
        self._isolation = isolation
        self._half = VectorHalf(stores, ledger, embedder, former, patience_s)
        self._ingestion = Ingestion(ledger, self._half, chunker, reader, uploads, self._forget)
        self._searcher = Searcher(ledger, self._half.nearest, isolation)
        self._threads = search_threads("search")
        self._searching: set[asyncio.Event] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Goes on where a former life ended: its jobs, its reindex, its vectors.

        Raises:
            EmbedderUnavailable, IndexUnavailable
        """
        await self._half.choose_model()
        await asyncio.to_thread(self.ledger.resume)
        await asyncio.to_thread(self.ledger.requeue, self._chunker.recipe)
        await asyncio.to_thread(lambda: self._uploads.sweep(self.ledger.uploads()))
        self._tasks = [
            asyncio.create_task(self._half.keep(), name="vectors"),
            asyncio.create_task(self._ingestion.work(), name="ingestion"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(self._reader.close)
        self._threads.shutdown()
        self._searcher.close()
        await asyncio.to_thread(self._half.close)
        await asyncio.to_thread(self.ledger.close)

    @property
    def vectors(self) -> str:
        """How the half that searches by meaning is: see `IndexInfo`."""
        return self._half.state

    async def info(self) -> IndexInfo:
        documents, chunks, waiting = await asyncio.to_thread(self.ledger.counts)
        embedded = await asyncio.to_thread(self._half.count)
        return IndexInfo(documents, chunks, embedded, waiting, self._half.model, self._half.state)

    async def jobs(self) -> dict[JobStatus, int]:
        """How many there are of each status."""
        return await asyncio.to_thread(self.ledger.job_states)

    async def add(self, documents: Sequence[DocumentIn], idempotency_key: str | None = None) -> Job:
        keyed = [(key_of(document_id(document), document.user_id), document) for document in documents]
        _distinct([key for key, _ in keyed], "documents")
        contents = (f"{key}\0{content_hash(document)}" for key, document in keyed)
        return await self._enqueue(keyed, idempotency_key, contents)

    async def add_files(self, files: Sequence[FileIn], idempotency_key: str | None = None) -> Job:
        keyed = [(key_of(file.name, file.user_id), file) for file in files]
        try:
            _distinct([key for key, _ in keyed], "files")
            for file in files:
                await asyncio.to_thread(self._uploads.seal, file)
            contents = (f"{key}\0{file.sha256}\0{file.language}\0{file.metadata}" for key, file in keyed)
            return await self._enqueue(keyed, idempotency_key, contents)
        finally:
            await asyncio.to_thread(self._tidy_uploads, files)

    async def put_upload(self, upload_id: str, offset: int, data: bytes) -> None:
        await asyncio.to_thread(self._uploads.put, upload_id, offset, data)

    async def job(self, job_id: str) -> Job:
        return await asyncio.to_thread(self.ledger.job, job_id)

    async def cancel(self, job_id: str) -> Job:
        return await asyncio.to_thread(self.ledger.cancel, job_id)

    async def reindex(self) -> Job:
        present = await self._half.present()
        job = await asyncio.to_thread(self.ledger.begin_reindex, present.fingerprint)
        self._half.ask_reindex()
        return job

    async def documents(self, after: str | None, limit: int, user_id: str | None = None) -> DocumentPage:
        allowed = readers(user_id) if self._isolation else None
        return await asyncio.to_thread(self.ledger.documents, after, limit, allowed)

    async def document(self, document_id: str, user_id: str | None = None) -> Document:
        return await asyncio.to_thread(self.ledger.document, key_of(document_id, user_id))

    async def delete(self, document_id: str, user_id: str | None = None) -> None:
        async with self._half.writing:
            gone = await asyncio.to_thread(self.ledger.delete, key_of(document_id, user_id))
        await self._forget(gone)

    async def search(self, query: SearchQuery) -> SearchResult:
        loop = asyncio.get_running_loop()
        if query.mode == "words":
            with self._counted():
                return await loop.run_in_executor(self._threads, self._searcher.search, query, None)
        embedding = asyncio.run_coroutine_threadsafe(self._half.meaning(query.text), loop)
        try:
            with self._counted():
                return await loop.run_in_executor(self._threads, self._searcher.search, query, embedding.result)
        finally:
            embedding.cancel()

    def _tidy_uploads(self, files: Sequence[FileIn]) -> None:
        """Removes those that no job has taken: the request was refused, or it was a repeated one."""
        needed = self.ledger.uploads()
        for file in files:
            if file.upload_id not in needed:
                self._uploads.remove(file.upload_id)
        self._uploads.sweep(needed)

    async def _enqueue(
        self, items: Sequence[tuple[str, Any]], idempotency_key: str | None, contents: Iterator[str]
    ) -> Job:
        """`contents` tell one request from another; they are only looked at where there is a key."""
        idempotency = (idempotency_key, _digest(contents)) if idempotency_key else None
        job = await asyncio.to_thread(self.ledger.enqueue, items, idempotency)
        self._ingestion.wake()
        return job

    async def _forget(self, ids: Sequence[str]) -> None:
        """Drops vectors once no search runs that began when they still counted."""
        if not ids:
            return
        for ended in list(self._searching):
            await ended.wait()
        async with self._half.writing:
            back = await asyncio.to_thread(self.ledger.stored, ids)  # the same document was added again
            await self._half.forget([id_ for id_ in ids if id_ not in back])

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        ended = asyncio.Event()
        self._searching.add(ended)
        try:
            yield
        finally:
            self._searching.discard(ended)
            ended.set()


def _distinct(keys: Sequence[str], field: str) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            name = name_of(key)
            raise InvalidRequest(
                f"Two {field} of the request have the id {name!r}.",
                errors=[{"field": field, "message": f"the id {name!r} stands twice"}],
            )
        seen.add(key)


def _digest(parts: Iterator[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()

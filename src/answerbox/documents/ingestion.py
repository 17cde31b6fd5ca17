"""Working off the jobs: a file is read, a document is cut, embedded and switched to.

For one document the order is: embed, put the vectors into the vector store, switch the ledger in one transaction, drop
old vectors. A vector that the ledger does not know is never shown, so a crash between any two of these steps shows
either all of the old document or all of the new one, and the item is simply done again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from answerbox.contracts import DocumentIn
from answerbox.documents.chunking import Chunker
from answerbox.documents.identity import content_hash, document_id, key_of
from answerbox.documents.uploads import Uploads
from answerbox.documents.vector_half import VectorHalf, metadata_of, passage
from answerbox.documents.words import words_of
from answerbox.errors import AnswerboxError, EmbedderUnavailable, InvalidRequest
from answerbox.ledger import Claimed, Ledger, Revision, StoredChunk, name_of
from answerbox.ports import Chunk, Embedder, FileIn, FileReader, Vector

log = logging.getLogger(__name__)
T = TypeVar("T")

AT_ONCE = 8
"""Documents that are worked on at the same time: one is embedded while others are read, cut and written."""
EMBED_S = 0.1
"""Questions share the embedding model with ingestion: a batch is made as large as takes so long, and comes alone."""
LARGEST_BATCH = 64
RETRY_S = 1.0


@dataclass
class Ingestion:
    ledger: Ledger
    half: VectorHalf
    chunker: Chunker
    reader: FileReader
    uploads: Uploads
    unused: Callable[[Sequence[str]], Awaitable[None]]
    """Told of vectors that nothing new will look for."""

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._embedding = asyncio.Lock()
        self._batch = 2

    def wake(self) -> None:
        self._wake.set()

    async def work(self) -> None:
        """For ever."""
        while True:
            self._wake.clear()
            items = await patiently(lambda: asyncio.to_thread(self.ledger.claim, AT_ONCE))
            if not items:
                await self._wake.wait()
                continue
            await asyncio.gather(*(self._item(item) for item in items))

    async def _item(self, item: Claimed) -> None:
        error = None
        try:
            await (self._read(item, item.file) if item.file else self._index(item))
        except AnswerboxError as exc:
            error = exc.message
        except Exception:
            log.exception("document %r could not be indexed", name_of(item.key), extra={"job_id": item.job_id})
            error = "An unexpected failure; the service's log has it."
        await patiently(lambda: asyncio.to_thread(self.ledger.finish, item, error))
        if item.file:
            await asyncio.to_thread(self.uploads.remove, item.file.upload_id)

    async def _read(self, item: Claimed, file: FileIn) -> None:
        """Puts the documents of the file into the queue; the file itself is done with."""
        documents = await asyncio.to_thread(self.reader.read, self.uploads.path(file.upload_id), file)
        keyed = {key_of(document_id(document), document.user_id): document for document in documents}
        if len(keyed) < len(documents):
            raise InvalidRequest(f"{file.name!r} has two documents of the same id.")
        await patiently(lambda: asyncio.to_thread(self.ledger.expand, item, list(keyed.items())))

    async def _index(self, item: Claimed) -> None:
        document = item.document
        if document is None:  # deleted since it was queued
            return
        digest, recipe = content_hash(document), self.chunker.recipe
        if await asyncio.to_thread(self.ledger.unchanged, item.key, digest, recipe):
            return
        chunks = await asyncio.to_thread(
            self.chunker.chunks, item.key, document.text, document.pages, document.language
        )
        if not chunks:
            raise InvalidRequest("The text has no words.")
        embedder, fingerprint = await self.half.ingesting()
        vectors = await self._embed(embedder, [passage(chunk, document.title) for chunk in chunks])
        words = await asyncio.to_thread(lambda: [words_of(chunk, document.title) for chunk in chunks])
        await self._switch(item, document, Revision(digest, recipe, chunks, words, fingerprint, vectors))

    async def _switch(self, item: Claimed, document: DocumentIn, revision: Revision) -> None:
        ids = [chunk.id for chunk in revision.chunks]
        metadata = metadata_of(_stored(revision.chunks[0], document))
        rows = {id_: (vector, metadata) for id_, vector in zip(ids, revision.vectors, strict=True)}
        async with self.half.writing:
            await self.half.put(revision.fingerprint, rows)
            gone = await patiently(lambda: asyncio.to_thread(self.ledger.replace, item, revision))
            if gone is None:  # cancelled meanwhile; vectors of the present content stay
                known = await asyncio.to_thread(self.ledger.stored, ids)
                gone = [id_ for id_ in ids if id_ not in known]
        await self.unused(gone)

    async def _embed(self, embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
        """Vectors of all texts; waits while the embedder is down, for the document must not be lost."""
        vectors: list[Vector] = []
        while len(vectors) < len(texts):
            try:
                async with self._embedding:
                    batch = texts[len(vectors) : len(vectors) + self._batch]
                    began = time.monotonic()
                    vectors += await embedder.embed(batch, "passage")
                    self._batch = _next_batch(len(batch), time.monotonic() - began)
            except EmbedderUnavailable as exc:
                log.warning("ingestion waits for the embedder: %s", exc.message)
                await asyncio.sleep(RETRY_S)
        return vectors


def _next_batch(size: int, took_s: float) -> int:
    """At most twice as large as the last one."""
    return max(1, min(LARGEST_BATCH, 2 * size, int(size * EMBED_S / max(took_s, 1e-3))))


def _stored(chunk: Chunk, document: DocumentIn) -> StoredChunk:
    return StoredChunk(chunk, document_id(document), document.user_id, None, None, document.metadata)


async def patiently(step: Callable[[], Awaitable[T]]) -> T:
    """The result of a step, tried until it works: a full disk must not end ingestion for good."""
    while True:
        try:
            return await step()
        except AnswerboxError as exc:
            log.warning("the index waits: %s", exc.message)
            await asyncio.sleep(RETRY_S)

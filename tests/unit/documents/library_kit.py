"""A library over a real ledger in a temporary folder, with doubles for vectors and embedder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from answerbox.adapters.fakes import FakeEmbedder
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn, Job, Source
from answerbox.documents.chunking import Chunker
from answerbox.documents.library import Library
from answerbox.ports import Ledger, SearchQuery, VectorStore
from tests.doubles import MemoryVectors, MoodyEmbedder, until


@dataclass
class Kit:
    """What outlives a library: the folder and the vectors."""

    path: Path
    vectors: VectorStore = field(default_factory=MemoryVectors)
    embedder: MoodyEmbedder = field(default_factory=MoodyEmbedder)
    capacity: int = 12

    def library(self, ledger: Ledger | None = None) -> Library:
        return Library(
            ledger=ledger or SqliteLedger(self.path / "ledger.sqlite3"),
            vectors=self.vectors,
            embedder=self.embedder,
            chunker=Chunker(lambda text: len(text.split()), self.capacity),
        )

    @asynccontextmanager
    async def running(self, ledger: Ledger | None = None) -> AsyncIterator[Library]:
        library = self.library(ledger)
        await library.start()
        try:
            yield library
        finally:
            await library.stop()


def document(text: str, id: str | None = None, **fields: Any) -> DocumentIn:
    return DocumentIn(text=text, id=id, **fields)


async def add(library: Library, *documents: DocumentIn) -> Job:
    """Adds them and waits for the end of the job."""
    job = await library.add(documents)
    return await ended(library, job.job_id)


async def ended(library: Library, job_id: str) -> Job:
    await until(lambda: library.ledger.job(job_id).finished_at, what=f"the end of {job_id}")
    return await library.job(job_id)


async def find(library: Library, text: str, top_k: int = 5, **filter: Any) -> list[Source]:
    [vector] = await FakeEmbedder().embed([text], "query")
    return await library.search(SearchQuery(text, top_k, vector, filter or None))


async def found_texts(library: Library, text: str, **filter: Any) -> list[str]:
    return [hit.text for hit in await find(library, text, **filter)]

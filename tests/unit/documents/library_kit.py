"""A library over a real ledger in a temporary folder, with doubles for vectors and embedder."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn, Job, Source
from answerbox.documents.chunking import Chunker
from answerbox.documents.library import Library
from answerbox.documents.uploads import Uploads
from answerbox.errors import InvalidRequest, ModelMissing
from answerbox.ledger import Ledger
from answerbox.ports import FileIn, SearchQuery, VectorStore, VectorStores
from tests.doubles import MemoryStores, MoodyEmbedder, until


class OneLineReader:
    """Reads a file whose text is the document's; one that says `broken` cannot be read."""

    def read(self, path: Path, file: FileIn) -> list[DocumentIn]:
        text = path.read_text(encoding="utf-8")
        if text == "broken":
            raise InvalidRequest(f"{file.name!r} is broken.")
        fields = {"metadata": file.metadata, "user_id": file.user_id}
        if file.name.endswith(".jsonl"):
            return [DocumentIn(**{**fields, **json.loads(line)}) for line in text.splitlines()]
        return [DocumentIn(text=text, id=file.name, uri=file.name, **fields)]

    def close(self) -> None:
        return


@dataclass
class Kit:
    """What outlives a library: the folder, the vectors, the models."""

    path: Path
    stores: VectorStores = field(default_factory=MemoryStores)
    embedder: MoodyEmbedder = field(default_factory=MoodyEmbedder)
    former: dict[str, MoodyEmbedder] = field(default_factory=dict)
    """Models that are still in the model store, by name."""
    capacity: int = 12
    cut: type[Chunker] = Chunker
    isolation: bool = False
    patience_s: float = 3.0

    @property
    def memory(self) -> MemoryStores:
        assert isinstance(self.stores, MemoryStores)
        return self.stores

    @property
    def vectors(self) -> VectorStore:
        return self.stores.open(self.embedder.fingerprint)

    def library(self, ledger: Ledger | None = None) -> Library:
        return Library(
            ledger=ledger or SqliteLedger(self.path / "ledger.sqlite3"),
            stores=self.stores,
            embedder=self.embedder,
            chunker=self.chunker(),
            reader=OneLineReader(),
            uploads=Uploads(self.path / "uploads"),
            former=self._former,
            patience_s=self.patience_s,
            isolation=self.isolation,
        )

    def chunker(self) -> Chunker:
        return self.cut(lambda text: len(text.split()), self.capacity)

    @asynccontextmanager
    async def running(self, ledger: Ledger | None = None, wait: bool = True) -> AsyncIterator[Library]:
        """A library whose vectors are there, unless its embedder is down."""
        library = self.library(ledger)
        await library.start()
        try:
            if wait and not (self.embedder.down or self.embedder.gate or getattr(self.stores, "down", False)):
                await ready(library)
            yield library
        finally:
            await library.stop()

    async def _former(self, model: str) -> MoodyEmbedder:
        if model not in self.former:
            raise ModelMissing(f"There is no model {model!r}.")
        return self.former[model]


async def ready(library: Library) -> None:
    await until(lambda: library.vectors == "ready", what="the vectors are ready")


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
    return (await library.search(SearchQuery(text, top_k, filter or None))).sources


async def send(library: Library, *files: tuple[str, str], key: str | None = None, **about: Any) -> Job:
    """Uploads files of that name and text and waits for the end of the job."""
    taken = []
    for name, text in files:
        data = text.encode()
        upload_id = uuid.uuid4().hex
        await library.put_upload(upload_id, 0, data)
        taken.append(FileIn(upload_id, name, len(data), hashlib.sha256(data).hexdigest(), **about))
    job = await library.add_files(taken, key)
    return await ended(library, job.job_id)


async def found_texts(library: Library, text: str, **filter: Any) -> list[str]:
    return [hit.text for hit in await find(library, text, **filter)]

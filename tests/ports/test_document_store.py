"""Every `DocumentStore` keeps the port's promises. In one process there is one: `Library`, here over Chroma."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from answerbox.adapters.chroma_vectors import ChromaVectors
from answerbox.adapters.fakes import FakeEmbedder
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn, Job
from answerbox.documents.chunking import Chunker
from answerbox.documents.library import Library
from answerbox.errors import Conflict, DocumentNotFound, JobNotFound
from answerbox.ports import DocumentStore, SearchQuery
from tests.doubles import MemoryVectors, turn


@pytest.fixture(params=["memory", "chroma"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DocumentStore]:
    library = Library(
        ledger=SqliteLedger(tmp_path / "ledger"),
        vectors=MemoryVectors() if request.param == "memory" else ChromaVectors(tmp_path / "chroma", "fake-1"),
        embedder=FakeEmbedder(),
        chunker=Chunker(lambda text: len(text.split()), 20),
    )
    await library.start()
    yield library
    await library.stop()


async def add(store: DocumentStore, *documents: DocumentIn) -> Job:
    job = await store.add(documents)
    never = asyncio.Event()
    for _ in range(1_000):
        job = await store.job(job.job_id)
        if job.finished_at:
            return job
        await turn(never)
    raise AssertionError(f"{job} did not end")


async def query(store: DocumentStore, text: str, top_k: int = 5, **filter: str) -> list[str]:
    [vector] = await FakeEmbedder().embed([text], "query")
    return [hit.document_id for hit in await store.search(SearchQuery(text, top_k, vector, filter or None))]


BREAD = DocumentIn(id="bread", text="Bread is baked at six.", metadata={"team": "a"})
FISH = DocumentIn(id="fish", text="Fish is sold at noon.", metadata={"team": "b"})


async def test_what_is_added_is_found_and_counted(store: DocumentStore) -> None:
    assert (await add(store, BREAD, FISH)).status == "succeeded"
    assert (await query(store, "When is bread baked?"))[0] == "bread"
    assert await query(store, "When is bread baked?", top_k=1) == ["bread"]
    info = await store.info()
    assert (info.documents, info.chunks, info.embedded, info.waiting, info.embedder) == (2, 2, 2, 0, "fake")


async def test_a_filter_holds_for_words_and_vectors(store: DocumentStore) -> None:
    await add(store, BREAD, FISH)
    assert await query(store, "bread fish", team="b") == ["fish"]
    assert await query(store, "bread fish", team="c") == []


async def test_an_empty_store_is_searched_in_vain(store: DocumentStore) -> None:
    assert await query(store, "bread") == []
    assert (await store.documents(None, 10)).documents == []


async def test_a_document_is_read_listed_and_deleted(store: DocumentStore) -> None:
    await add(store, BREAD, FISH)
    assert (await store.document("bread")).text == BREAD.text
    assert [info.document_id for info in (await store.documents(None, 10)).documents] == ["bread", "fish"]
    await store.delete("bread")
    assert await query(store, "bread fish") == ["fish"]
    for look in (store.document, store.delete):
        with pytest.raises(DocumentNotFound):
            await look("bread")


async def test_a_changed_document_replaces_itself_with_its_metadata(store: DocumentStore) -> None:
    await add(store, BREAD)
    await add(store, BREAD.model_copy(update={"metadata": {"other": "x"}}))
    assert await query(store, "bread", team="a") == []
    assert await query(store, "bread", other="x") == ["bread"]
    assert (await store.info()).embedded == 1


async def test_jobs_that_are_unknown_or_over_are_told(store: DocumentStore) -> None:
    job = await add(store, BREAD)
    with pytest.raises(Conflict):
        await store.cancel(job.job_id)
    for look in (store.job, store.cancel):
        with pytest.raises(JobNotFound):
            await look("job-none")

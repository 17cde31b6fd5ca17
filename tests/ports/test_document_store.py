"""Every `DocumentStore` keeps the port's promises. In one process there is one: `Library`, over each store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from answerbox.adapters.chroma_folder import ChromaFolder
from answerbox.adapters.chroma_server import ChromaServer
from answerbox.contracts import DocumentIn, Job
from answerbox.errors import Conflict, DocumentNotFound, JobNotFound
from answerbox.ports import DocumentStore, SearchQuery
from tests.doubles import turn
from tests.unit.documents.library_kit import Kit


@pytest.fixture(params=["memory", "folder", "server"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DocumentStore]:
    kit = Kit(tmp_path, capacity=20)
    if request.param == "folder":
        kit.stores = ChromaFolder(tmp_path / "chroma")
    if request.param == "server":
        kit.stores = ChromaServer(request.getfixturevalue("chroma_url"), 5.0)
    async with kit.running() as library:
        yield library
        if request.param == "server":
            kit.stores.drop(kit.embedder.fingerprint)


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
    found = await store.search(SearchQuery(text, top_k, filter or None))
    assert found.degraded == []
    return [hit.document_id for hit in found.sources]


BREAD = DocumentIn(id="bread", text="Bread is baked at six.", metadata={"team": "a"})
FISH = DocumentIn(id="fish", text="Fish is sold at noon.", metadata={"team": "b"})


async def test_what_is_added_is_found_and_counted(store: DocumentStore) -> None:
    assert (await add(store, BREAD, FISH)).status == "succeeded"
    assert (await query(store, "When is bread baked?"))[0] == "bread"
    assert await query(store, "When is bread baked?", top_k=1) == ["bread"]
    info = await store.info()
    assert (info.documents, info.chunks, info.embedded, info.waiting, info.embedder) == (2, 2, 2, 0, "moody")


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

"""Nothing is lost when a part of the library fails, or the process does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.errors import IndexUnavailable
from answerbox.ports import Claimed, SearchQuery
from tests.doubles import MemoryVectors, MoodyEmbedder, until
from tests.unit.documents.library_kit import Kit, add, document, ended, find, found_texts


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


async def test_documents_survive_a_restart(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
    async with kit.running() as library:
        assert await found_texts(library, "bread") == ["Bread."]


async def test_a_job_that_a_dead_process_had_taken_is_done_by_the_next(kit: Kit) -> None:
    dead = SqliteLedger(kit.path / "ledger.sqlite3")
    job = dead.enqueue([("a", document("Bread.", "a")), ("b", document("Fish.", "b"))])
    assert [item.document_id for item in dead.claim(1)] == ["a"]  # and there it died
    async with kit.running() as library:
        assert (await ended(library, job.job_id)).status == "succeeded"
        assert {hit.document_id for hit in await find(library, "bread fish")} == {"a", "b"}
    dead.close()


@pytest.mark.parametrize("stored", ["vectors", "vectors-and-ledger"])
async def test_a_document_that_was_half_stored_is_stored_again(stored: str, kit: Kit) -> None:
    """The process died between two of the steps: vectors, ledger, end of the job."""
    dead = kit.library()
    assert isinstance(dead.ledger, SqliteLedger)
    job = dead.ledger.enqueue([("a", document("Bread.", "a"))])
    [item] = dead.ledger.claim(1)
    [chunk] = dead.chunker.chunks("a", "Bread.")
    kit.vectors.upsert([chunk.id], await kit.embedder.embed(["Bread."], "passage"), [{"document_id": "a"}])
    if stored == "vectors":
        assert await find(dead, "bread") == [], "what the ledger does not know is not shown"
    else:
        await dead._index(item)
    dead.ledger.close()
    async with kit.running() as library:
        assert (await ended(library, job.job_id)).status == "succeeded"
        assert await found_texts(library, "bread") == ["Bread."]
        assert kit.vectors.ids() == {chunk.id}


async def test_a_document_waits_for_an_embedder_that_is_down(kit: Kit) -> None:
    async with kit.running() as library:
        kit.embedder.down = True
        job = await library.add([document("Bread.", "a"), document("Fish.", "b")])
        await until(lambda: kit.embedder.refused)
        assert (await library.job(job.job_id)).finished_at is None
        assert (await library.info()).waiting == 2
        kit.embedder.down = False
        done = await ended(library, job.job_id)
        assert (done.status, done.errors) == ("succeeded", [])
        assert {hit.document_id for hit in await find(library, "bread fish")} == {"a", "b"}


async def test_a_library_stopped_while_the_embedder_is_down_loses_nothing(kit: Kit) -> None:
    kit.embedder.down = True
    async with kit.running() as library:
        job = await library.add([document("Bread.", "a")])
        await until(lambda: kit.embedder.refused)
    kit.embedder.down = False
    async with kit.running() as library:
        assert (await ended(library, job.job_id)).status == "succeeded"
        assert await found_texts(library, "bread") == ["Bread."]


async def test_vectors_that_were_lost_are_made_again(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, *(document(f"Bread {n}.\n\n# More\n\nFish {n}.", f"d{n}") for n in range(3)))
        whole = kit.vectors.ids()
    kit.vectors = MemoryVectors()
    async with kit.running() as library:
        await until(lambda: kit.vectors.ids() == whole, what="all vectors")
        assert (await library.info()).embedded == len(whole)


async def test_words_are_found_while_the_vectors_are_being_made_again(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
    kit.vectors, kit.embedder = MemoryVectors(), MoodyEmbedder(down=True)
    async with kit.running() as library:
        assert [hit.text for hit in await library.search(SearchQuery("bread", 5))] == ["Bread."]
        assert kit.vectors.ids() == set()


async def test_vectors_of_documents_that_are_gone_are_dropped_at_the_start(kit: Kit) -> None:
    [vector] = await kit.embedder.embed(["Old."], "passage")
    kit.vectors.upsert(["stray"], [vector], [{"document_id": "gone"}])
    async with kit.running() as library:
        await until(lambda: not kit.vectors.ids(), what="no stray vectors")
        assert await find(library, "old") == []


async def test_a_vector_that_the_ledger_does_not_know_takes_nobodys_place(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread and butter.", "bread"))
        strays = [f"stray-{number}" for number in range(5)]
        [vector] = await kit.embedder.embed(["bread"], "passage")
        kit.vectors.upsert(strays, [vector] * 5, [{"document_id": "gone"}] * 5)
        assert [hit.document_id for hit in await find(library, "bread", top_k=1)] == ["bread"]
        assert [hit.document_id for hit in await find(library, "fish", top_k=1)] == ["bread"]


async def test_a_queued_document_is_cancelled_and_a_running_one_is_finished(kit: Kit) -> None:
    kit.embedder.gate = asyncio.Event()
    async with kit.running() as library:
        job = await library.add([document(f"Bread {n}.", f"d{n:02}") for n in range(20)])
        await until(lambda: library.ledger.job(job.job_id).status == "running")
        assert (await library.cancel(job.job_id)).finished_at is None
        kit.embedder.gate.set()
        done = await ended(library, job.job_id)
        assert (done.status, done.total) == ("cancelled", 20)
        assert 0 < done.done < 20
        assert (await library.documents(None, 50)).total == done.done


async def test_a_reader_sees_the_old_version_until_all_of_the_new_is_there(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("The shop opens at nine.\n\n# Bread\n\nBread is old.", "shop"))
        kit.embedder.gate = asyncio.Event()
        job = await library.add([document("The shop opens at ten.\n\n# Bread\n\nBread is new.", "shop")])
        await until(lambda: library.ledger.job(job.job_id).status == "running")
        old = await found_texts(library, "shop bread")
        assert any("nine" in text for text in old)
        assert not any("ten" in text for text in old)
        kit.embedder.gate.set()
        await ended(library, job.job_id)
        new = await found_texts(library, "shop bread")
        assert any("ten" in text for text in new)
        assert not any("nine" in text or "old" in text for text in new)


class FullDisk(SqliteLedger):
    """Fails the next `failures` times that it is to take work, or to note its end."""

    def __init__(self, path: Path, failing: str, failures: int = 1) -> None:
        super().__init__(path)
        self.failing = failing
        self.failures = failures

    def claim(self, limit: int) -> list[Claimed]:
        self._fail("claim")
        return super().claim(limit)

    def finish(self, item: Claimed, error: str | None) -> None:
        self._fail("finish")
        super().finish(item, error)

    def _fail(self, method: str) -> None:
        if method == self.failing and self.failures:
            self.failures -= 1
            raise IndexUnavailable("The disk is full.")


@pytest.mark.parametrize("failing", ["claim", "finish"])
async def test_a_ledger_that_fails_for_a_moment_does_not_end_ingestion(failing: str, kit: Kit) -> None:
    ledger = FullDisk(kit.path / "ledger.sqlite3", failing)
    async with kit.running(ledger) as library:
        first = await library.add([document("Bread.", "a")])
        await until(lambda: not ledger.failures)
        second = await library.add([document("Fish.", "b")])
        assert (await ended(library, second.job_id)).status == "succeeded"
        assert (await ended(library, first.job_id)).status == "succeeded"


class BrokenVectors(MemoryVectors):
    """Cannot be written to for the first `failures` times."""

    failures = 1

    def upsert(
        self, ids: Sequence[str], vectors: Sequence[list[float]], metadatas: Sequence[dict[str, object]]
    ) -> None:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("segment is locked")
        super().upsert(ids, vectors, metadatas)


async def test_an_unexpected_failure_fails_the_document_without_its_text_and_the_next_goes_on(kit: Kit) -> None:
    kit.vectors = BrokenVectors()
    async with kit.running() as library:
        job = await add(library, document("Bread.", "a"))
        assert job.status == "failed"
        assert "segment" not in job.errors[0].message
        assert (await add(library, document("Bread.", "a"))).status == "succeeded"

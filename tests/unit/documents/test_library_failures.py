"""Nothing is lost when a part of the library fails, or the process does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.documents.chunking import Chunker
from answerbox.documents.library import Library
from answerbox.documents.search import SEARCHES
from answerbox.errors import IndexUnavailable
from answerbox.ledger import Claimed
from answerbox.ports import Chunk, SearchQuery, SearchResult, TextKind, Vectors
from answerbox.retrying import ATTEMPTS
from tests.doubles import MemoryStores, MoodyEmbedder, until
from tests.unit.documents.library_kit import Kit, add, document, ended, find, found_texts, ready


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
    job = dead.enqueue([("a", document("Bread.", "a")), ("b", document("Fish.", "b"))], None)
    assert [item.key for item in dead.claim(1)] == ["a"]  # and there it died
    async with kit.running() as library:
        assert (await ended(library, job.job_id)).status == "succeeded"
        assert {hit.document_id for hit in await find(library, "bread fish")} == {"a", "b"}
    dead.close()


async def test_a_document_whose_vectors_alone_were_stored_is_stored_again(kit: Kit) -> None:
    """The process died between two of the steps: vectors, ledger."""
    dead = SqliteLedger(kit.path / "ledger.sqlite3")
    job = dead.enqueue([("a", document("Bread.", "a"))], None)
    dead.claim(1)
    dead.close()
    [chunk] = kit.chunker().chunks("a", "Bread.")
    kit.vectors.upsert([chunk.id], await kit.embedder.embed(["Bread."], "passage"), [{"document_id": "a"}])
    async with kit.running() as library:
        assert (await ended(library, job.job_id)).status == "succeeded"
        assert await found_texts(library, "bread") == ["Bread."]
        assert kit.vectors.ids() == {chunk.id}


async def meaning(library: Library, text: str) -> SearchResult:
    return await library.search(SearchQuery(text, 5))


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


async def test_vectors_that_were_lost_are_copied_from_the_ledger(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, *(document(f"Bread {n}.\n\n# More\n\nFish {n}.", f"d{n}") for n in range(3)))
        whole = kit.vectors.ids()
    kit.stores, kit.embedder = MemoryStores(), MoodyEmbedder(down=False)
    async with kit.running() as library:
        assert kit.vectors.ids() == whole
        assert (await library.info()).embedded == len(whole)
        assert kit.embedder.embedded == []


async def test_words_are_found_while_the_store_is_away_and_the_meaning_once_it_is_back(kit: Kit) -> None:
    kit.memory.down = True
    async with kit.running() as library:
        job = await add(library, document("Bread.", "bread"))
        assert job.status == "succeeded", "the ledger has it"
        result = await meaning(library, "bread")
        assert ([hit.text for hit in result.sources], result.degraded) == (["Bread."], ["vectors"])
        assert (await library.info()).vectors == "unavailable"
        kit.memory.down = False
        await ready(library)
        result = await meaning(library, "bread")
        assert ([hit.text for hit in result.sources], result.degraded) == (["Bread."], [])


async def test_a_store_that_is_lost_while_it_serves_is_opened_again(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
        kit.memory.down = True
        assert (await meaning(library, "bread")).degraded == ["vectors"]
        await until(lambda: library.vectors != "ready")
        await library.delete("bread")
        await add(library, document("Fish.", "fish"))
        kit.memory.down = False
        await ready(library)
        assert [hit.text for hit in (await meaning(library, "fish")).sources] == ["Fish."]
        assert (await library.info()).embedded == 1


class NewModel(MoodyEmbedder):
    """Another model: the same vectors, turned round."""

    fingerprint: ClassVar[str] = "new-1"

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        return Vectors(vector[::-1] for vector in await super().embed(texts, kind))


async def test_another_model_serves_only_after_a_reindex_and_the_old_one_until_then(kit: Kit) -> None:
    old = kit.embedder
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"), document("Fish.", "fish"))
    kit.embedder, kit.former = NewModel(), {"moody": old}
    async with kit.running() as library:
        query = SearchQuery("fish", 1, mode="vectors")
        assert [hit.document_id for hit in (await library.search(query)).sources] == ["fish"]
        await add(library, document("Milk.", "milk"))
        job = await library.reindex()
        job = await ended(library, job.job_id)
        assert (job.status, job.done, job.total) == ("succeeded", 3, 3)
        old.down = True
        result = await library.search(query)
        assert ([hit.document_id for hit in result.sources], result.degraded) == (["fish"], [])
        assert kit.stores.open("moody-1").ids() == set()
    async with kit.running() as library:
        assert (await library.search(query)).degraded == []


async def test_without_the_former_model_words_serve_until_a_reindex(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
    kit.embedder = NewModel()
    async with kit.running(None, wait=False) as library:
        await add(library, document("Fish.", "fish"))
        query = SearchQuery("fish", 2)
        await until(lambda: library.vectors == "unavailable")
        info = await library.info()
        assert (info.embedder, info.embedded) == ("moody", 0)
        result = await library.search(query)
        assert ([hit.document_id for hit in result.sources], result.degraded) == (["fish"], ["vectors"])
        await ended(library, (await library.reindex()).job_id)
        result = await library.search(query)
        assert ([hit.document_id for hit in result.sources], result.degraded) == (["fish", "bread"], [])


async def test_a_reindex_that_a_dead_process_began_is_finished(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
    kit.embedder, kit.former = NewModel(), {"moody": MoodyEmbedder()}
    dead = SqliteLedger(kit.path / "ledger.sqlite3")
    job = dead.begin_reindex("new-1")
    dead.close()
    async with kit.running() as library:
        assert (await ended(library, job.job_id)).status == "succeeded"
        assert (await library.info()).embedder == "moody"


async def test_documents_are_cut_anew_by_another_recipe(kit: Kit) -> None:
    text = "\n\n".join(f"# {name}\n\nBread of {name}." for name in ("Ada", "Bob", "Carl"))
    async with kit.running() as library:
        await add(library, document(text, "doc"))
        assert (await library.info()).chunks > 1
    kit.capacity = 40
    async with kit.running() as library:
        await until(lambda: library.ledger.counts() == (1, 1, 0), what="one passage")
        await until(lambda: kit.vectors.ids() == set(library.ledger.chunk_ids()), what="its vector alone")


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


async def test_a_cancelled_job_ends_at_once_and_leaves_nothing_half_there(kit: Kit) -> None:
    kit.embedder.gate = asyncio.Event()
    async with kit.running() as library:
        job = await library.add([document(f"Bread {n}.", f"d{n:02}") for n in range(20)])
        await until(lambda: library.ledger.job(job.job_id).status == "running")
        assert (await library.cancel(job.job_id)).status == "cancelled"
        kit.embedder.gate.set()
        await add(library, document("Fish.", "fish"))
        assert [info.document_id for info in (await library.documents(None, 50)).documents] == ["fish"]
        await until(lambda: kit.vectors.ids() == set(library.ledger.chunk_ids()), what="no stray vectors")


async def test_a_delete_while_the_document_is_being_indexed_wins(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "a"))
        kit.embedder.gate = asyncio.Event()
        job = await library.add([document("Fish.", "a")])
        await until(lambda: library.ledger.job(job.job_id).status == "running")
        await library.delete("a")
        kit.embedder.gate.set()
        await ended(library, job.job_id)
        await add(library, document("Milk.", "b"))
        assert [info.document_id for info in (await library.documents(None, 50)).documents] == ["b"]
        await until(lambda: kit.vectors.ids() == set(library.ledger.chunk_ids()), what="no stray vectors")


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


class BrokenChunker(Chunker):
    """Fails the first time."""

    failures = 1

    def chunks(self, *arguments: Any) -> list[Chunk]:
        if self.failures:
            self.failures -= 1
            raise RuntimeError("segment is locked")
        return super().chunks(*arguments)


async def test_an_unexpected_failure_fails_the_document_without_its_text_and_the_next_goes_on(kit: Kit) -> None:
    kit.cut = BrokenChunker
    async with kit.running() as library:
        job = await add(library, document("Bread.", "a"))
        assert job.status == "failed"
        assert "segment" not in job.errors[0].message
        assert (await add(library, document("Bread.", "a"))).status == "succeeded"


async def test_a_language_that_the_embedder_does_not_speak_is_searched_by_words(kit: Kit) -> None:
    kit.embedder.languages = ("en",)
    async with kit.running() as library:
        await add(library, document("Хлеб пекут в шесть.", "bread"))
        kit.embedder.embedded.clear()
        result = await meaning(library, "Когда пекут хлеб?")
        assert ([hit.document_id for hit in result.sources], result.by_words, result.degraded) == (["bread"], True, [])
        assert kit.embedder.embedded == []


async def test_an_embedder_that_fails_once_is_asked_again_and_one_that_is_down_leaves_the_words(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
        kit.embedder.failures = 1
        result = await meaning(library, "bread")
        assert (result.by_words, result.degraded) == (False, [])
        kit.embedder.down = True
        kit.embedder.refused = 0
        result = await meaning(library, "bread")
        assert ([hit.document_id for hit in result.sources], result.by_words) == (["bread"], True)
        assert result.degraded == ["vectors"]
        assert kit.embedder.refused == ATTEMPTS


async def test_an_embedder_that_hangs_leaves_the_words(kit: Kit) -> None:
    kit.patience_s = 0.05
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
        kit.embedder.gate = asyncio.Event()
        result = await meaning(library, "bread")
        assert ([hit.document_id for hit in result.sources], result.degraded) == (["bread"], ["vectors"])


async def test_a_search_that_nobody_waits_for_gives_its_place_back(kit: Kit) -> None:
    async with kit.running() as library:
        await add(library, document("Bread.", "bread"))
        kit.embedder.gate = asyncio.Event()
        given_up = [asyncio.create_task(meaning(library, "bread")) for _ in range(3 * SEARCHES)]
        await asyncio.wait(given_up, timeout=0.05)
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        kit.embedder.gate = None
        async with asyncio.timeout(2):
            assert (await meaning(library, "bread")).degraded == []

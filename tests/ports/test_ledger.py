"""Every `Ledger` keeps the port's promises. There is one so far: SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn
from answerbox.errors import Conflict, DocumentNotFound, JobNotFound
from answerbox.ports import Chunk, Ledger
from answerbox.text import content_terms, terms
from tests.ports.test_vector_store import FILTERS


@pytest.fixture(params=[SqliteLedger], ids=["sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    ledger: Ledger = request.param(tmp_path / "ledger")
    yield ledger
    ledger.close()


def put(ledger: Ledger, name: str, *texts: str, **fields: Any) -> list[str]:
    whole = "\n".join(texts)
    chunks = [
        Chunk(f"{name}-{number}-{text}", name, number, text, whole.index(text), whole.index(text) + len(text))
        for number, text in enumerate(texts)
    ]
    words = [" ".join(terms(text)) for text in texts]
    return ledger.replace(name, DocumentIn(text=whole, **fields), f"hash-{whole}", chunks, words)


def found(ledger: Ledger, question: str, limit: int = 10, **filter: Any) -> list[str]:
    return [ranked.chunk_id for ranked in ledger.match(content_terms(question), limit, filter or None)]


def test_a_document_is_kept_as_it_came(ledger: Ledger) -> None:
    put(ledger, "a", "Хлеб 🙂.", title="Т", uri="u", language="ru", metadata={"n": 1, "b": True, "f": 1.5, "s": "ё"})
    document = ledger.document("a")
    assert (document.document_id, document.text, document.title) == ("a", "Хлеб 🙂.", "Т")
    assert (document.uri, document.language, document.chunks, document.characters) == ("u", "ru", 1, 7)
    assert document.metadata == {"n": 1, "b": True, "f": 1.5, "s": "ё"}
    assert [type(value) for value in document.metadata.values()] == [int, bool, float, str]
    assert document.content_hash == "hash-Хлеб 🙂."


def test_a_replacement_returns_the_chunks_that_are_gone(ledger: Ledger) -> None:
    assert put(ledger, "a", "Bread.", "Fish.") == []
    assert put(ledger, "a", "Bread.", "Milk.") == ["a-1-Fish."]
    assert set(ledger.chunk_ids()) == {"a-0-Bread.", "a-1-Milk."}
    assert ledger.counts() == (1, 2, 0)


def test_unchanged_knows_the_content_that_is_there(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    assert ledger.unchanged("a", "hash-Bread.")
    assert not ledger.unchanged("a", "hash-Fish.")
    assert not ledger.unchanged("b", "hash-Bread.")


def test_a_deleted_document_is_gone_with_all_its_chunks(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.")
    put(ledger, "b", "Bread.")
    assert ledger.delete("a") == ["a-0-Bread.", "a-1-Fish."]
    assert found(ledger, "bread") == ["b-0-Bread."]
    for look in (ledger.document, ledger.delete):
        with pytest.raises(DocumentNotFound):
            look("a")


def test_chunks_come_in_the_order_asked_and_unknown_ones_are_left_out(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.", title="T", uri="u", metadata={"n": 1})
    stored = ledger.chunks(["a-1-Fish.", "none", "a-0-Bread."])
    assert list(stored) == ["a-1-Fish.", "a-0-Bread."]
    fish = stored["a-1-Fish."]
    assert (fish.chunk.document_id, fish.chunk.ordinal, fish.chunk.text) == ("a", 1, "Fish.")
    assert (fish.chunk.start, fish.chunk.end) == (7, 12)
    assert (fish.title, fish.uri, fish.metadata) == ("T", "u", {"n": 1})


def test_words_match_by_their_stems_best_first(ledger: Ledger) -> None:
    put(ledger, "a", "Bread is baked with flour and water every morning.")
    put(ledger, "b", "Bread, bread and baked bread.")
    put(ledger, "c", "Рыбу привозят утром.")
    assert found(ledger, "baking breads") == ["b-0-Bread, bread and baked bread.", "a-0-" + ledger.document("a").text]
    assert found(ledger, "рыба") == ["c-0-Рыбу привозят утром."]
    assert found(ledger, "baking breads", limit=1) == ["b-0-Bread, bread and baked bread."]
    assert found(ledger, "unicorn") == []


def test_without_terms_nothing_matches(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    assert ledger.match([], 5, None) == []
    assert ledger.coverage([], ["a-0-Bread."]) == {"a-0-Bread.": 0.0}


def test_coverage_is_full_where_a_chunk_has_every_word(ledger: Ledger) -> None:
    put(ledger, "a", "Bread and butter.", "Bread alone.")
    shares = ledger.coverage(content_terms("bread butter"), ["a-0-Bread and butter.", "a-1-Bread alone.", "none"])
    assert shares["a-0-Bread and butter."] == pytest.approx(1.0)
    assert 0 < shares["a-1-Bread alone."] < 1
    assert "none" not in shares


@pytest.mark.parametrize(("metadata", "filter", "matches"), [pytest.param(*case, id=name) for name, *case in FILTERS])
def test_a_filter_is_equality_of_value_and_kind(
    metadata: dict[str, Any], filter: dict[str, Any], matches: bool, ledger: Ledger
) -> None:
    put(ledger, "a", "Bread.", metadata=metadata)
    put(ledger, "other", "Bread.")
    assert found(ledger, "bread", **filter) == (["a-0-Bread."] if matches else [])


def test_pages_walk_through_all_documents_in_order(ledger: Ledger) -> None:
    names = sorted(["a", "B", "b/1", "Ё", "я", "z z"])
    for name in names:
        put(ledger, name, "Bread.")
    seen: list[str] = []
    after: str | None = None
    for _ in range(len(names)):
        page = ledger.documents(after, 4)
        assert page.total == len(names)
        seen += [info.document_id for info in page.documents]
        after = page.next_after
        if after is None:
            break
    assert seen == names


def test_a_page_that_ends_exactly_has_no_next(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    put(ledger, "b", "Fish.")
    assert ledger.documents(None, 2).next_after is None
    assert ledger.documents("b", 2).documents == []


def enqueue(ledger: Ledger, *names: str) -> str:
    return ledger.enqueue([(name, DocumentIn(text=f"Text of {name}.")) for name in names]).job_id


def test_a_job_goes_from_queued_to_succeeded(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b")
    assert (ledger.job(job_id).status, ledger.counts()) == ("queued", (0, 0, 2))
    one, two = ledger.claim(10)
    assert (one.document_id, one.document.text, one.job_id) == ("a", "Text of a.", job_id)
    assert ledger.job(job_id).status == "running"
    ledger.finish(one, None)
    halfway = ledger.job(job_id)
    assert (halfway.status, halfway.done, halfway.total, halfway.finished_at) == ("running", 1, 2, None)
    ledger.finish(two, None)
    done = ledger.job(job_id)
    assert (done.status, done.done, done.errors) == ("succeeded", 2, [])
    assert done.finished_at is not None
    assert done.finished_at >= done.created_at
    assert ledger.counts() == (0, 0, 0)


def test_a_job_with_a_failure_is_failed_and_says_which(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b")
    for item in ledger.claim(10):
        ledger.finish(item, "no words" if item.document_id == "b" else None)
    job = ledger.job(job_id)
    assert (job.status, job.done) == ("failed", 2)
    assert [(error.document_id, error.message) for error in job.errors] == [("b", "no words")]


def test_work_is_claimed_once_in_order_and_up_to_the_limit(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b", "c")
    assert [item.document_id for item in ledger.claim(2)] == ["a", "b"]
    assert [item.document_id for item in ledger.claim(2)] == ["c"]
    assert ledger.claim(2) == []


def test_two_versions_of_a_document_are_not_claimed_together(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b")
    enqueue(ledger, "a", "c")
    assert [item.document_id for item in ledger.claim(10)] == ["a", "b"]
    assert [item.document_id for item in ledger.claim(10)] == ["a", "c"]


def test_what_a_dead_process_had_claimed_is_claimed_again(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b", "c")
    done, *_ = ledger.claim(2)
    ledger.finish(done, None)
    ledger.resume()
    assert [item.document_id for item in ledger.claim(10)] == ["b", "c"]
    assert ledger.job(job_id).done == 1


def test_a_queued_job_is_cancelled_at_once(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b")
    job = ledger.cancel(job_id)
    assert (job.status, job.done, job.total) == ("cancelled", 0, 2)
    assert job.finished_at
    assert ledger.claim(10) == []
    with pytest.raises(Conflict, match="cancelled"):
        ledger.cancel(job_id)


def test_a_running_job_ends_cancelled_after_what_is_running(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b", "c")
    [running] = ledger.claim(1)
    assert ledger.cancel(job_id).finished_at is None
    assert ledger.claim(10) == []
    ledger.finish(running, None)
    job = ledger.job(job_id)
    assert (job.status, job.done, job.total) == ("cancelled", 1, 3)


def test_cancelling_one_job_leaves_the_others(ledger: Ledger) -> None:
    first, _ = enqueue(ledger, "a"), enqueue(ledger, "b")
    ledger.cancel(first)
    assert [item.document_id for item in ledger.claim(10)] == ["b"]


def test_an_unknown_job_is_not_found(ledger: Ledger) -> None:
    for look in (ledger.job, ledger.cancel):
        with pytest.raises(JobNotFound):
            look("job-none")


def test_notes_are_kept_and_overwritten(ledger: Ledger) -> None:
    assert ledger.recall("key") is None
    ledger.remember("key", "one")
    ledger.remember("key", "two")
    assert ledger.recall("key") == "two"

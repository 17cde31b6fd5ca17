"""Every `Ledger` keeps the port's promises. There is one so far: SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn
from answerbox.documents.words import words_of
from answerbox.errors import Conflict, DocumentNotFound, JobNotFound
from answerbox.filters import matches as fulfils
from answerbox.filters import parsed
from answerbox.ledger import Ledger, Revision, Scope
from answerbox.ports import Chunk, FileIn
from answerbox.text import content_terms
from tests.filter_kit import metadatas, raw_filters


@pytest.fixture(params=[SqliteLedger], ids=["sqlite"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    ledger: Ledger = request.param(tmp_path / "ledger")
    yield ledger
    ledger.close()


def put(ledger: Ledger, name: str, *texts: str, **fields: Any) -> list[str] | None:
    whole = "\n".join(texts)
    return replace(ledger, name, DocumentIn(text=whole, **fields), *texts)


def replace(ledger: Ledger, name: str, document: DocumentIn, *texts: str) -> list[str] | None:
    ledger.enqueue([(name, document)], None)
    *_, item = ledger.claim(100)
    return ledger.replace(item, revision(name, document.text, *texts))


def revision(name: str, whole: str, *texts: str) -> Revision:
    chunks = [
        Chunk(f"{name}-{number}-{text}", name, number, text, whole.index(text), whole.index(text) + len(text))
        for number, text in enumerate(texts)
    ]
    return Revision(
        content_hash=f"hash-{whole}",
        recipe="recipe",
        chunks=chunks,
        words=[words_of(chunk, None) for chunk in chunks],
        fingerprint="model",
        vectors=[[float(number), 1.0] for number, _ in enumerate(chunks)],
    )


def found(ledger: Ledger, question: str, limit: int = 10, scope: Scope = Scope(), **filter: Any) -> list[str]:  # noqa: B008
    scope = Scope(parsed(filter)) if filter else scope
    with ledger.snapshot() as now:
        return [match.chunk_id for match in now.match(content_terms(question), limit, scope)]


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
    assert ledger.unchanged("a", "hash-Bread.", "recipe")
    assert not ledger.unchanged("a", "hash-Bread.", "another recipe")
    assert not ledger.unchanged("a", "hash-Fish.", "recipe")
    assert not ledger.unchanged("b", "hash-Bread.", "recipe")


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
    stored = ledger.stored(["a-1-Fish.", "none", "a-0-Bread."])
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
    with ledger.snapshot() as now:
        assert now.match([], 5, Scope()) == []
        assert [(row.chunk_id, row.score) for row in now.rows([], ["a-0-Bread.", "none"])] == [("a-0-Bread.", 0.0)]


def test_rows_have_the_score_of_a_match_and_0_without_one(ledger: Ledger) -> None:
    put(ledger, "a", "Bread and butter.", "Fish.")
    with ledger.snapshot() as now:
        [match] = now.match(["bread"], 5, Scope())
        rows = {row.chunk_id: row for row in now.rows(["bread"], ["a-0-Bread and butter.", "a-1-Fish."])}
    assert rows["a-0-Bread and butter."].score == pytest.approx(match.score)
    assert rows["a-1-Fish."].score == 0.0
    assert rows["a-1-Fish."].words.sentences == (("fish",),)


def test_beginnings_of_words_match_where_stems_differ(ledger: Ledger) -> None:
    put(ledger, "a", "Немецкого рыцаря звали Карл.")
    assert found(ledger, "рыцарский") == ["a-0-Немецкого рыцаря звали Карл."]


def test_a_rare_word_weighs_more_than_a_common_one(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Bread, fish.")
    with ledger.snapshot() as now:
        weights = now.weights(["bread", "fish", "unicorn"])
    assert 0 < weights["bread"] < weights["fish"] < weights["unicorn"]


def test_a_snapshot_sees_one_state(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    with ThreadPoolExecutor(1) as other, ledger.snapshot() as now:
        other.submit(put, ledger, "a", "Fish.").result()
        assert [match.chunk_id for match in now.match(["bread"], 5, Scope())] == ["a-0-Bread."]
        assert list(now.chunks(["a-0-Bread.", "a-0-Fish."], Scope())) == ["a-0-Bread."]
        assert list(now.vectors(["a-0-Bread.", "a-0-Fish."], "model")) == ["a-0-Bread."]
    assert found(ledger, "bread") == []
    assert found(ledger, "fish") == ["a-0-Fish."]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadatas(), raw_filters())
def test_a_filter_means_what_it_means_everywhere(
    ledger: Ledger, metadata: dict[str, Any], filter: dict[str, Any]
) -> None:
    put(ledger, "a", "Bread.", metadata=metadata)
    put(ledger, "other", "Fish.")
    expected = ["a-0-Bread."] if fulfils(parsed(filter), metadata) else []
    assert found(ledger, "bread", scope=Scope(parsed(filter))) == expected
    with ledger.snapshot() as now:
        assert list(now.chunks(["a-0-Bread."], Scope(parsed(filter)))) == expected


def test_a_reader_sees_the_own_documents_and_those_that_are_nobodys(ledger: Ledger) -> None:
    for owner in (None, "ada", "bob"):
        put(ledger, f"{owner}\x1fdoc" if owner else "doc", f"Bread of {owner}.", user_id=owner)
    readers = ("", "ada")
    texts = {id_.rpartition("-")[2] for id_ in found(ledger, "bread", scope=Scope(readers=readers))}
    assert texts == {"Bread of None.", "Bread of ada."}
    page = ledger.documents(None, 10, readers)
    assert [(info.document_id, info.user_id) for info in page.documents] == [("doc", "ada"), ("doc", None)]
    assert page.total == 2
    with ledger.snapshot() as now:
        assert now.chunks(["bob\x1fdoc-0-Bread of bob."], Scope(readers=readers)) == {}
    assert ledger.has_owners()


def test_pages_walk_through_all_documents_in_order(ledger: Ledger) -> None:
    names = sorted(["a", "B", "b/1", "Ё", "я", "z z"])
    for name in names:
        put(ledger, name, "Bread.")
    seen: list[str] = []
    after: str | None = None
    for _ in range(len(names)):
        page = ledger.documents(after, 4, None)
        assert page.total == len(names)
        seen += [info.document_id for info in page.documents]
        after = page.next_after
        if after is None:
            break
    assert seen == names


def test_a_page_that_ends_exactly_has_no_next(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    put(ledger, "b", "Fish.")
    assert ledger.documents(None, 2, None).next_after is None
    assert ledger.documents("b", 2, None).documents == []


def enqueue(ledger: Ledger, *names: str) -> str:
    return ledger.enqueue([(name, DocumentIn(text=f"Text of {name}.")) for name in names], None).job_id


def test_a_job_goes_from_queued_to_succeeded(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b")
    assert (ledger.job(job_id).status, ledger.counts()) == ("queued", (0, 0, 2))
    one, two = ledger.claim(10)
    assert (one.key, one.document and one.document.text, one.job_id) == ("a", "Text of a.", job_id)
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
        ledger.finish(item, "no words" if item.key == "b" else None)
    job = ledger.job(job_id)
    assert (job.status, job.done) == ("failed", 2)
    assert [(error.document_id, error.message) for error in job.errors] == [("b", "no words")]


def test_work_is_claimed_once_in_order_and_up_to_the_limit(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b", "c")
    assert [item.key for item in ledger.claim(2)] == ["a", "b"]
    assert [item.key for item in ledger.claim(2)] == ["c"]
    assert ledger.claim(2) == []


def test_two_versions_of_a_document_are_not_claimed_together(ledger: Ledger) -> None:
    enqueue(ledger, "a", "b")
    enqueue(ledger, "a", "c")
    assert [item.key for item in ledger.claim(10)] == ["a", "b"]
    assert [item.key for item in ledger.claim(10)] == ["a", "c"]


def test_what_a_dead_process_had_claimed_is_claimed_again(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b", "c")
    done, *_ = ledger.claim(2)
    ledger.finish(done, None)
    ledger.resume()
    assert [item.key for item in ledger.claim(10)] == ["b", "c"]
    assert ledger.job(job_id).done == 1


def test_a_queued_job_is_cancelled_at_once(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b")
    job = ledger.cancel(job_id)
    assert (job.status, job.done, job.total) == ("cancelled", 0, 2)
    assert job.finished_at
    assert ledger.claim(10) == []
    with pytest.raises(Conflict, match="cancelled"):
        ledger.cancel(job_id)


def test_what_runs_when_its_job_is_cancelled_changes_nothing(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a", "b", "c")
    one, two = ledger.claim(2)
    ledger.replace(one, revision("a", "Bread.", "Bread."))
    assert ledger.cancel(job_id).finished_at
    assert ledger.replace(two, revision("b", "Fish.", "Fish.")) is None
    ledger.finish(two, "late")
    job = ledger.job(job_id)
    assert (job.status, job.done, job.total, job.errors) == ("cancelled", 1, 3, [])
    assert job.counts == {"done": 1, "cancelled": 2}
    assert [info.document_id for info in ledger.documents(None, 10, None).documents] == ["a"]


def test_cancelling_one_job_leaves_the_others(ledger: Ledger) -> None:
    first, _ = enqueue(ledger, "a"), enqueue(ledger, "b")
    ledger.cancel(first)
    assert [item.key for item in ledger.claim(10)] == ["b"]


def test_an_unknown_job_is_not_found(ledger: Ledger) -> None:
    for look in (ledger.job, ledger.cancel):
        with pytest.raises(JobNotFound):
            look("job-none")


def test_notes_are_kept_and_overwritten(ledger: Ledger) -> None:
    assert ledger.recall("key") is None
    ledger.remember("key", "one")
    ledger.remember("key", "two")
    assert ledger.recall("key") == "two"


def test_the_same_idempotency_key_is_the_same_job_and_another_request_is_refused(ledger: Ledger) -> None:
    items = [("a", DocumentIn(text="Bread."))]
    first = ledger.enqueue(items, ("key", "digest"))
    assert ledger.enqueue(items, ("key", "digest")).job_id == first.job_id
    assert len(ledger.claim(10)) == 1
    with pytest.raises(Conflict, match="'key'"):
        ledger.enqueue(items, ("key", "another"))
    assert ledger.enqueue(items, ("other", "digest")).job_id != first.job_id


def file(name: str) -> FileIn:
    return FileIn(upload_id="0" * 32, name=name, size=1, sha256="", metadata={"n": 1})


def test_a_file_is_read_alone_and_its_documents_take_its_place(ledger: Ledger) -> None:
    job = ledger.enqueue([("f", file("f"))], None)
    assert ledger.uploads() == {"0" * 32}
    [item] = ledger.claim(10)
    assert item.file == file("f")
    assert ledger.job(job.job_id).stage == "reading"
    ledger.expand(item, [("a", DocumentIn(text="Bread.")), ("b", DocumentIn(text="Fish."))])
    after = ledger.job(job.job_id)
    assert (after.total, after.done, ledger.uploads()) == (2, 0, set())
    assert [claimed.key for claimed in ledger.claim(10)] == ["a", "b"]
    assert ledger.job(job.job_id).stage == "indexing"


def test_a_file_without_documents_ends_its_job(ledger: Ledger) -> None:
    job = ledger.enqueue([("f", file("f"))], None)
    [item] = ledger.claim(10)
    ledger.expand(item, [])
    assert ledger.job(job.job_id).status == "succeeded"


def test_a_deleted_document_does_not_come_back_from_what_was_sent_before(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    queued = enqueue(ledger, "a")
    unread = ledger.enqueue([("f", file("f"))], None)
    ledger.delete("a")
    assert ledger.job(queued).status == "succeeded" or ledger.job(queued).counts == {"cancelled": 1}
    [item] = ledger.claim(10)
    ledger.expand(item, [("a", DocumentIn(text="Bread.")), ("b", DocumentIn(text="Fish."))])
    assert [claimed.key for claimed in ledger.claim(10)] == ["b"]
    assert ledger.job(unread.job_id).counts == {"cancelled": 1, "running": 1}
    enqueue(ledger, "a")
    assert [claimed.key for claimed in ledger.claim(10)] == ["a"], "what is sent after the delete counts"


def test_a_delete_stops_what_is_being_written(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.")
    enqueue(ledger, "a")
    [item] = ledger.claim(10)
    ledger.delete("a")
    assert ledger.replace(item, revision("a", "Fish.", "Fish.")) is None
    with pytest.raises(DocumentNotFound):
        ledger.document("a")


def test_a_document_that_only_waits_can_be_deleted(ledger: Ledger) -> None:
    job_id = enqueue(ledger, "a")
    assert ledger.delete("a") == []
    assert ledger.job(job_id).finished_at
    with pytest.raises(DocumentNotFound):
        ledger.delete("a")


def test_documents_of_another_recipe_are_queued_as_they_are_stored(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", title="T", metadata={"n": 1}, pages=[0])
    assert ledger.requeue("recipe") == 0
    assert ledger.requeue("new recipe") == 1
    assert ledger.requeue("new recipe") == 0, "it waits already"
    [item] = ledger.claim(10)
    assert item.document == DocumentIn(text="Bread.", id="a", title="T", metadata={"n": 1}, pages=[0])


def test_vectors_are_kept_by_model(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.")
    assert ledger.get_vectors(["a-1-Fish.", "none"], "model") == {"a-1-Fish.": [1.0, 1.0]}
    ledger.put_vectors("new", {"a-0-Bread.": [0.5, 0.25], "gone": [1.0, 1.0]})
    assert ledger.get_vectors(["a-0-Bread.", "gone"], "new") == {"a-0-Bread.": [0.5, 0.25]}
    ledger.drop_vectors("model")
    assert ledger.get_vectors(["a-0-Bread.", "a-1-Fish."], "model") == {}


def test_a_reindex_counts_passages_and_there_is_one_at_a_time(ledger: Ledger) -> None:
    put(ledger, "a", "Bread.", "Fish.")
    job = ledger.begin_reindex("new")
    assert ledger.begin_reindex("new").job_id == job.job_id
    assert (ledger.reindexing(), job.status, job.done, job.total) == ("new", "running", 0, 2)
    ledger.put_vectors("new", {"a-0-Bread.": [0.5, 0.25]})
    assert ledger.job(job.job_id).done == 1
    ledger.put_vectors("new", {"a-1-Fish.": [0.5, 0.25]})
    ledger.end_reindex()
    assert (ledger.job(job.job_id).status, ledger.reindexing()) == ("succeeded", None)

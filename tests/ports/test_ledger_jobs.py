"""Every `Ledger` keeps the port's promises on jobs. There is one so far: SQLite."""

from __future__ import annotations

import pytest

from answerbox.contracts import DocumentIn
from answerbox.errors import Conflict, DocumentNotFound, JobNotFound
from answerbox.ledger import Ledger
from tests.ports.ledger_kit import enqueue, file, put, revision


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


def test_jobs_are_counted_by_the_status_that_each_of_them_has(ledger: Ledger) -> None:
    succeeds, fails, ends, runs = (enqueue(ledger, name) for name in "abcd")
    ledger.cancel(ends)
    reindexes = ledger.begin_reindex("another").job_id
    for item in ledger.claim(3):
        if item.job_id != runs:
            ledger.finish(item, "no words" if item.job_id == fails else None)
    waits = enqueue(ledger, "e")
    jobs = [ledger.job(job_id) for job_id in (succeeds, fails, ends, runs, reindexes, waits)]
    assert [job.status for job in jobs] == ["succeeded", "failed", "cancelled", "running", "running", "queued"]
    assert ledger.job_states() == {"succeeded": 1, "failed": 1, "cancelled": 1, "running": 2, "queued": 1}

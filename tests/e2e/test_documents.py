"""Documents and jobs over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.live import Live, serving, wait_until

FAKES = {"generator_model": "fake", "embedder_model": "fake"}


def test_a_document_is_added_found_shown_and_deleted(fakes: Live) -> None:
    document: dict[str, Any] = {
        "id": "guides/Über uns?#1",
        "title": "About",
        "uri": "https://example.org/about",
        "language": "en",
        "text": "# About\n\nThe thylacine lived on Tasmania.\n\n# More\n\nIt smiles.",
        "metadata": {"team": "zoo", "draft": False},
    }
    accepted = fakes.post("/documents", {"documents": [document]})
    assert accepted.status_code == 202
    assert accepted.json()["total"] == 1
    job_path = accepted.headers["location"]
    job = wait_until(lambda: (got := fakes.get(job_path).json())["finished_at"] and got, 30, "the job ends")
    assert (job["status"], job["done"], job["errors"]) == ("succeeded", 1, [])

    hit = fakes.post("/search", {"query": "thylacine Tasmania", "top_k": 1}).json()["hits"][0]
    assert hit["document_id"] == document["id"]
    assert hit["text"] in document["text"]

    path = "/documents/" + quote(document["id"], safe="")
    shown = fakes.get(path).json()
    assert {key: shown[key] for key in ("title", "uri", "language", "text", "metadata")} == {
        key: document[key] for key in ("title", "uri", "language", "text", "metadata")
    }
    with fakes.client() as client:
        assert client.delete(path).status_code == 204
        assert client.delete(path).json()["code"] == "document_not_found"
    assert fakes.get(path).status_code == 404
    hits = fakes.post("/search", {"query": "thylacine Tasmania"}).json()["hits"]
    assert document["id"] not in {hit["document_id"] for hit in hits}


def test_the_same_content_twice_changes_nothing(fakes: Live) -> None:
    document = {"title": "Twice", "text": "An aardvark digs at night."}
    fakes.index([document])
    (first,) = [row for row in _all(fakes) if row["title"] == "Twice"]
    fakes.index([document])
    (second,) = [row for row in _all(fakes) if row["title"] == "Twice"]
    assert second == first


def test_new_content_replaces_the_old(fakes: Live) -> None:
    fakes.index([{"id": "menu", "text": "Today there is borscht."}])
    fakes.index([{"id": "menu", "text": "Today there is ramen."}])
    texts = [hit["text"] for hit in fakes.post("/search", {"query": "Today there is"}).json()["hits"]]
    assert "Today there is ramen." in texts
    assert "Today there is borscht." not in texts


def test_the_list_comes_in_pages(fakes: Live) -> None:
    fakes.index([{"id": f"page-{number}", "text": f"Text {number}."} for number in range(5)])
    seen: list[str] = []
    after = ""
    while True:
        page = fakes.get(f"/documents?limit=2&after={quote(after, safe='')}").json()
        seen += [_key(row) for row in page["documents"]]
        assert len(page["documents"]) <= 2
        if not (after := page["next_after"] or ""):
            break
    assert seen == sorted(set(seen))
    assert page["total"] == len(seen)
    assert {f"page-{number}" for number in range(5)} <= set(seen)


def _key(row: dict[str, str | None]) -> str:
    """Documents are in the order of their owner and id; those that are nobody's by their id."""
    return f"{row['user_id']}\x1f{row['document_id']}" if row["user_id"] else str(row["document_id"])


def _all(live: Live) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = live.get("/documents?limit=200").json()["documents"]
    return rows


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        pytest.param({"documents": []}, 422, "invalid_request", "documents", id="no-document"),
        pytest.param({"documents": [{"text": ""}]}, 422, "invalid_request", "documents.0.text", id="no-text"),
        pytest.param(
            {"documents": [{"text": "a", "colour": "red"}]}, 422, "invalid_request", "colour", id="unknown-field"
        ),
        pytest.param(
            {"documents": [{"id": "a", "text": "1"}, {"id": "a", "text": "2"}]},
            422,
            "invalid_request",
            "'a'",
            id="an-id-twice",
        ),
        pytest.param(
            {"documents": [{"text": "a", "metadata": {"a": {"b": 1}}}]},
            422,
            "invalid_request",
            "metadata",
            id="nested",
        ),
        pytest.param([], 422, "invalid_request", "object", id="a-list"),
    ],
)
def test_bad_documents_are_refused_by_name(fakes: Live, body: object, status: int, code: str, says: str) -> None:
    answer = fakes.post("/documents", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert says in answer.json()["detail"]


def test_a_text_without_words_fails_in_its_job_and_the_others_go_on(fakes: Live) -> None:
    job = fakes.index([{"id": "blank", "text": " \n\t "}, {"id": "good", "text": "Some words."}])
    assert job["status"] == "failed"
    assert [error["document_id"] for error in job["errors"]] == ["blank"]
    assert fakes.get("/documents/good").status_code == 200


def test_jobs_that_do_not_exist_or_have_ended(fakes: Live) -> None:
    assert fakes.get("/jobs/nope").json()["code"] == "job_not_found"
    job = fakes.index([{"text": "Done soon."}])
    with fakes.client() as client:
        answer = client.delete(f"/jobs/{job['job_id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_a_restart_keeps_documents_and_adds_the_manual_once(tmp_path: Path) -> None:
    with serving(tmp_path, seed_docs="true", **FAKES) as live:
        wait_until(lambda: "docs/guide.md" in _ids(live), 60, "the manual is indexed")
        live.index([{"id": "mine", "text": "The axolotl never grows up."}])
        wait_until(lambda: _waiting(live) == 0, 60, "all is indexed")
        before = _all(live)
        with live.client() as client:
            assert client.delete("/documents/docs/guide.ru.md").status_code == 204
    with serving(tmp_path, seed_docs="true", **FAKES) as live:
        wait_until(lambda: _waiting(live) == 0, 60, "all is indexed")
        assert _all(live) == [row for row in before if row["document_id"] != "docs/guide.ru.md"]
        hits = live.post("/search", {"query": "axolotl grows"}).json()["hits"]
        assert hits[0]["document_id"] == "mine"


def _ids(live: Live) -> set[object]:
    return {row["document_id"] for row in _all(live)}


def _waiting(live: Live) -> int:
    waiting: int = live.get("/health").json()["dependencies"]["index"]["detail"]["waiting"]
    return waiting

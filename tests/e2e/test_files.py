"""Files over HTTP: sent in a form, read in a process of their own, found with their place."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import Live, serving, wait_until

LIMIT = 4 * 2**20
File = tuple[str, bytes]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(
        tmp_path_factory.mktemp("files"),
        generator_model="fake",
        embedder_model="fake",
        max_upload_bytes=str(LIMIT),
        reading_timeout_s="10",
        isolation="true",
    ) as live:
        yield live


def send(live: Live, *files: File, key: str | None = None, **fields: str) -> httpx.Response:
    parts = [("files", (name, data, "application/octet-stream")) for name, data in files]
    headers = {"Idempotency-Key": key} if key else {}
    with live.client() as client:
        return client.post("/documents", files=parts, data=fields, headers=headers)


def ended(live: Live, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"]
    job: dict[str, Any] = wait_until(lambda: (got := live.get(path).json())["finished_at"] and got, 60, path)
    return job


def search(live: Live, query: str, **more: Any) -> list[dict[str, Any]]:
    hits: list[dict[str, Any]] = live.post("/search", {"query": query, **more}).json()["hits"]
    return hits


def test_files_are_read_indexed_and_found_with_their_place(live: Live) -> None:
    page = b"<html><head><title>Tapirs</title></head><body><h1>Life</h1><p>%s</p><h2>Food</h2><p>A tapir eats leaves."
    page %= b"It sleeps by day. " * 60
    table = "animal;food\nкоала;эвкалипт\n".encode("cp1251")
    job = ended(live, send(live, ("zoo/tapir.html", page), ("zoo/food.csv", table), metadata='{"zoo": true}'))
    assert (job["status"], job["stage"], job["counts"]) == ("succeeded", "ended", {"done": 2})
    [hit] = search(live, "What does a tapir eat?", top_k=1)
    assert (hit["document_id"], hit["title"], hit["headings"]) == ("zoo/tapir.html", "Tapirs", ["Life"])
    text = live.get("/documents/zoo/tapir.html").json()["text"]
    assert text[hit["start"] : hit["end"]] == hit["text"]
    assert search(live, "коала эвкалипт", top_k=1, filter={"zoo": True})[0]["document_id"] == "zoo/food.csv"
    assert search(live, "tapir", filter={"zoo": {"$ne": True}}) == []


def test_a_file_that_cannot_be_read_fails_by_name_and_the_rest_goes_on(live: Live) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"0" * (600 * 2**20))
    files = {
        "empty.txt": b"",
        "not-a.pdf": b"PK\x03\x04 this is a zip",
        "bomb.docx": bomb.getvalue(),
        "deep.html": b"<div>" * 200_000,
        "binary.md": bytes(range(256)) * 8,
        "old.doc": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
        "virus.exe": b"MZ",
    }
    job = ended(live, send(live, *files.items(), ("fine.txt", b"The wombat digs.")))
    wrong = {error["document_id"]: error["message"] for error in job["errors"]}
    assert job["status"] == "failed"
    assert set(files) - set(wrong) <= {"deep.html"}, "deep HTML may be read"
    assert all(name in message for name, message in wrong.items())
    assert "fine.txt" not in wrong
    assert search(live, "wombat", top_k=1)[0]["document_id"] == "fine.txt"
    assert live.get("/readyz").status_code == 200


def test_more_than_the_limit_is_refused_whether_it_is_declared_or_not(live: Live) -> None:
    big = b"x" * (LIMIT + 1)
    assert send(live, ("big.txt", big)).json()["code"] == "payload_too_large"

    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.txt"\r\n\r\n'
        for _ in range(8):
            yield b"x" * (LIMIT // 4)

    with live.client() as client:
        answer = client.post("/documents", content=form(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert live.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param({"metadata": "{"}, "JSON", id="metadata-no-json"),
        pytest.param({"metadata": '{"a": {"b": 1}}'}, "metadata", id="metadata-nested"),
        pytest.param({"colour": "red"}, "colour", id="unknown-field"),
        pytest.param({"language": "русский"}, "language", id="language"),
        pytest.param({"user_id": "a b"}, "user_id", id="user"),
    ],
)
def test_a_form_that_is_wrong_is_told_what(fields: dict[str, str], says: str, live: Live) -> None:
    answer = send(live, ("a.txt", b"Text."), **fields)
    assert answer.status_code in (400, 422), answer.text
    assert says in answer.text


def test_a_form_without_files_or_that_is_no_form_is_refused(live: Live) -> None:
    with live.client() as client:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        nothing = client.post("/documents", content=b"--x--\r\n", headers=headers)
        garbage = client.post("/documents", content=b"\x00\x01garbage", headers=headers)
        unnamed = client.post("/documents", files=[("files", ("", b"x"))])
    for answer in (nothing, garbage, unnamed):
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_repeated_request_with_its_key_is_the_same_job(live: Live) -> None:
    one, two = (send(live, ("same.txt", b"The emu runs."), key="upload-1") for _ in range(2))
    assert one.json()["job_id"] == two.json()["job_id"]
    other = send(live, ("same.txt", b"The emu sleeps."), key="upload-1")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    ended(live, one)
    with live.client() as client:
        documents = {"documents": [{"id": "k", "text": "The kiwi walks."}]}
        jobs = [client.post("/documents", json=documents, headers={"Idempotency-Key": "json-1"}) for _ in range(2)]
        bad = client.post("/documents", json=documents, headers={"Idempotency-Key": "x" * 129})
    assert jobs[0].json()["job_id"] == jobs[1].json()["job_id"]
    assert "Idempotency-Key" in bad.json()["detail"]


def test_one_users_files_are_no_other_users(live: Live) -> None:
    ended(live, send(live, ("diary.txt", b"The password of Ada is numbat."), user_id="ada"))
    assert search(live, "password numbat", user_id="ada")[0]["document_id"] == "diary.txt"
    for asking in ({}, {"user_id": "bob"}, {"user_id": "bob", "filter": {"$or": [{"a": {"$ne": 1}}, {"b": 1}]}}):
        assert "numbat" not in json.dumps(search(live, "password numbat", **asking))
        answer = live.post("/rag_query", {"question": "What is the password of Ada numbat?", **asking}).json()
        assert "numbat" not in json.dumps(answer["meta"]["sources"])
    assert live.get("/documents/diary.txt").status_code == 404
    assert live.get("/documents/diary.txt?user_id=bob").status_code == 404
    assert live.get("/documents/diary.txt?user_id=ada").json()["user_id"] == "ada"
    listed = {row["document_id"] for row in live.get("/documents?user_id=bob&limit=200").json()["documents"]}
    assert "diary.txt" not in listed


def test_uploads_do_not_stay(live: Live) -> None:
    folder: Path = live.folder / "data" / "uploads"
    wait_until(lambda: not list(folder.glob("*")), 30, "no file is left in the uploads' folder")

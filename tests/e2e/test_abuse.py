"""Requests that nobody should send: thousands made from the OpenAPI document, and bytes that are hardly HTTP."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from answerbox import keys
from tests.live import BIN, Live, serving

ROOT = Path(__file__).parents[2]
CASES = 2_000
LEFT_OUT = (
    "ignored_auth",  # it sends our key beside a wrong one; tests/http/test_edge_access.py tries every route
    "positive_data_acceptance",  # what a filter may be is more than a JSON schema says
    "negative_data_rejection",  # it wants headers refused that nobody knows
)
PROBLEM = b"application/problem+json"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a service in production, and a key that may everything there."""
    folder = tmp_path_factory.mktemp("abused")
    text, _ = keys.create(folder / "data" / "keys.json", "tester", ["admin"])
    return folder, text


@pytest.fixture(scope="module")
def abused(key: tuple[Path, str]) -> Iterator[Live]:
    fakes = {"generator_model": "fake", "embedder_model": "fake"}
    with serving(key[0], env="production", open_routes="[]", body_silence_s="1", **fakes) as live:
        yield live


def test_what_the_openapi_document_allows_and_forbids_is_so(abused: Live, key: tuple[Path, str]) -> None:
    words = ["--config-file", str(Path(__file__).with_name("schemathesis.toml")), "run"]
    words += [str(ROOT / "docs" / "openapi.json"), "--url", abused.url, "--header", f"X-API-Key: {key[1]}"]
    words += ["--checks", "all", "--exclude-checks", ",".join(LEFT_OUT), "--phases", "examples,fuzzing"]
    words += ["--max-examples", "110", "--workers", "2", "--continue-on-failure", "--request-timeout", "60"]
    words += ["--suppress-health-check", "all", "--no-color"]
    done = subprocess.run(
        [BIN / "schemathesis", *words], capture_output=True, text=True, timeout=600, check=False, cwd=key[0]
    )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    [cases] = re.findall(r"(\d+) generated", done.stdout)
    assert int(cases) >= CASES


def ask(live: Live, key: str, raw: bytes, silent: bool = False) -> bytes:
    """What the service says to these bytes until it closes the connection, or says no more."""
    host, port = live.url.removeprefix("http://").split(":")
    heard = b""
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(raw.replace(b"KEY", key.encode()))
        if not silent:
            connection.shutdown(socket.SHUT_WR)
        try:
            while piece := connection.recv(65_536):
                heard += piece
        except ConnectionResetError:
            pass
    return heard


HEAD = (
    b"POST /llm_query HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nContent-Type: application/json\r\nConnection: close\r\n"
)


def post(body: bytes, length: int | None = None) -> bytes:
    return HEAD + f"Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


BODIES = {
    "not-utf-8": b'{"question": "\xff\xfe"}',
    "nan": b'{"question": "x", "options": {"temperature": NaN}}',
    "infinity": b'{"question": "x", "options": {"temperature": 1e999}}',
    "deep": b'{"question": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep-objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "huge-number": b'{"question": "x", "options": {"seed": ' + b"9" * 10_000 + b"}}",
    "lone-surrogate": b'{"question": "\\ud800"}',
    "null-character": b'{"question": null}',
    "list": b"[1, 2]",
    "text": b'"question"',
    "nothing": b"",
    "half": b'{"question": "x',
    "two": b'{"question": "x"} {"question": "y"}',
    "byte-order-mark": b'\xef\xbb\xbf{"question": 1}',
    "utf-16": '{"question": "x", "a": 1}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_cannot_be_is_a_problem_of_the_callers(abused: Live, key: tuple[Path, str], body: bytes) -> None:
    heard = ask(abused, key[1], post(body), silent=True)
    status = int(heard.split(b" ", 2)[1])
    assert status in (400, 413, 422), heard[:300]
    assert PROBLEM in heard
    assert json.loads(heard.partition(b"\r\n\r\n")[2])["status"] == status


def test_a_key_that_stands_twice_counts_once_and_harms_nothing(abused: Live, key: tuple[Path, str]) -> None:
    heard = ask(abused, key[1], post(b'{"question": "a", "question": "b"}'), silent=True)
    assert heard.startswith(b"HTTP/1.1 200"), heard[:300]


RAW = {
    "no-http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "no-version": b"GET /livez\r\n\r\n",
    "bad-chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "negative-length": HEAD + b"Content-Length: -5\r\n\r\n{}",
    "two-lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length-and-chunks": HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "header-without-name": b"GET /livez HTTP/1.1\r\n: x\r\n\r\n",
    "huge-header": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    "many-headers": b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "long-path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "bytes-in-path": b"GET /documents/%ff%fe%00 HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nConnection: close\r\n\r\n",
    "dots-in-path": b"GET /documents/../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "line-in-header": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\nb: c\r\nConnection: close\r\n\r\n",
    "half-a-head": b"POST /llm_query HTTP/1.1\r\nHo",
    "too-short-a-body": post(b"{}", length=100),
    "too-long-a-body": post(b'{"question": "x"}' + b"x" * 50, length=17),
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_what_is_hardly_http_is_refused_or_ends_the_connection(abused: Live, key: tuple[Path, str], raw: bytes) -> None:
    heard = ask(abused, key[1], raw)
    statuses = [int(status) for status in re.findall(rb"^HTTP/1.1 (\d{3})", heard, re.MULTILINE)]
    assert all(status < 500 for status in statuses), heard[:300]
    assert b"Traceback" not in heard
    assert abused.get("/livez").status_code == 200


@pytest.mark.parametrize("limit", ["²", "0", "201", "9" * 5_000, "1.5", "x", ""], ids=lambda limit: limit[:5])
def test_a_limit_that_is_no_number_of_a_page_is_told(abused: Live, key: tuple[Path, str], limit: str) -> None:
    with abused.client() as client:
        answer = client.get("/documents", params={"limit": limit}, headers={"X-API-Key": key[1]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "limit")


def test_a_form_is_a_form_in_capitals_too(abused: Live, key: tuple[Path, str]) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nBread.\r\n--b--\r\n'
    headers = {"X-API-Key": key[1], "Content-Type": "Multipart/Form-Data; boundary=b"}
    with abused.client() as client:
        assert client.post("/documents", content=body, headers=headers).status_code == 202


@pytest.mark.parametrize("name", ["metadata", "language", "user_id"])
def test_a_field_of_a_form_that_is_a_file_is_told(abused: Live, key: tuple[Path, str], name: str) -> None:
    files = [("files", ("a.txt", b"Bread.")), (name, ("m.json", b'{"a": 1}'))]
    with abused.client() as client:
        answer = client.post("/documents", files=files, headers={"X-API-Key": key[1]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, name)


def test_a_websocket_is_told_that_there_is_none(abused: Live, key: tuple[Path, str]) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    raw = b"GET /livez HTTP/1.1\r\nHost: a\r\n" + upgrade + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    heard = ask(abused, key[1], raw, silent=True)
    assert heard.startswith(b"HTTP/1.1 404"), heard[:300]
    assert PROBLEM in heard


def test_a_sender_that_falls_silent_is_cut_off(abused: Live, key: tuple[Path, str]) -> None:
    heard = ask(abused, key[1], post(b'{"question"', length=500), silent=True)
    assert heard.startswith(b"HTTP/1.1 408")
    assert b"body_timeout" in heard


def memory_mb(live: Live) -> float:
    processes = psutil.Process(live.process.pid).children(recursive=True)
    return sum(float(process.memory_info().rss) for process in processes) / 2**20


def test_none_of_it_takes_memory(abused: Live, key: tuple[Path, str]) -> None:
    everything = [*map(post, BODIES.values()), *RAW.values()]
    for raw in everything * 2:
        ask(abused, key[1], raw)
    before = memory_mb(abused)
    for raw in everything * 10:
        ask(abused, key[1], raw)
    assert memory_mb(abused) < 1.05 * before + 5

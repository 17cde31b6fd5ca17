"""The log of a running service: a line of JSON for each event, one for each request, none forged, no content."""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from answerbox.log_text import UNSAFE
from tests.live import Live, wait_until

LIMIT_S = 5.0
SECRET = "hunter2"
Since = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def since(fakes: Live) -> Iterator[Since]:
    """What has been logged since the test began; whole lines only, each of which must be JSON."""
    start = len(fakes.log.read_bytes())

    def lines() -> list[dict[str, Any]]:
        said = fakes.log.read_bytes()[start:].decode().rpartition("\n")[0]
        assert not [line for line in said.split("\n") if UNSAFE.search(line)]
        return [json.loads(line) for line in said.splitlines()]

    yield lines
    assert SECRET not in json.dumps(lines())


def line_of(since: Since, id_: str) -> dict[str, Any]:
    """The only line of that request; it is written after the answer has gone."""

    def lines() -> list[dict[str, Any]]:
        return [line for line in since() if (line["event"], line.get("request_id")) == ("request", id_)]

    wait_until(lines, LIMIT_S, f"the line of {id_}")
    [line] = lines()
    return line


def new_id() -> str:
    return uuid.uuid4().hex


def raw(live: Live, request: str) -> str:
    with socket.create_connection((urlsplit(live.url).hostname, urlsplit(live.url).port), LIMIT_S) as connection:
        connection.sendall(request.encode("latin-1"))
        return connection.recv(65_536).decode("latin-1")


@pytest.mark.parametrize("path", ["/llm_query", "/rag_query/stream"])
def test_an_answer_has_one_line_with_ids_and_times_and_nothing_of_what_was_asked(
    fakes: Live, since: Since, path: str
) -> None:
    id_ = new_id()
    body = {"question": f"What is {SECRET}?", "user_id": SECRET}
    with fakes.client() as client:
        answer = client.post(path, json=body, headers={"X-Request-Id": id_})
    assert answer.status_code == 200
    line = line_of(since, id_)
    assert (line["trace_id"], line["route"], line["status"]) == (id_, path, 200)
    assert line["duration_ms"] >= max(line["steps"].values()) > 0
    assert line["service"] == "Answerbox"
    assert re.fullmatch(r"[0-9a-f]{12}", line["user"])


def test_what_is_hostile_makes_one_line_each(fakes: Live, since: Since) -> None:
    forged = "%0A%7B%22event%22:%22forged%22%7D%1B%5B2J%E2%80%A8"
    sent = {new_id(): "/documents/" + forged, new_id(): "/nope" + forged + SECRET[:3] * 200}
    with fakes.client() as client:
        for id_, path in sent.items():
            client.get(path, headers={"X-Request-Id": id_, "X-API-Key": SECRET})
        id_ = new_id()
        client.post(
            "/llm_query",
            content=b'{"question": "a\n{\\"event\\": \\"forged\\"}\n' + SECRET.encode(),
            headers={"X-Request-Id": id_, "Content-Type": "application/json", "Authorization": f"Bearer {SECRET}"},
        )
        wrong = new_id()
        client.post("/llm_query", json={"question": SECRET, "options": SECRET}, headers={"X-Request-Id": wrong})
    found = [line_of(since, each) for each in (*sent, id_, wrong)]
    assert [line["status"] for line in found] == [404, 404, 400, 422]
    assert len(found[1]["route"]) <= 200
    assert {line["event"] for line in since()} <= {"request", "job"}


def test_headers_forge_nothing(fakes: Live, since: Since) -> None:
    id_ = new_id()
    host = f"Host: x\r\nX-Request-Id: {id_}\r\n"
    raw(fakes, f'GET /livez HTTP/1.1\r\nX-Request-Id: a\r\n{{"event": "forged"}}\r\n{host}\r\n')
    raw(fakes, f"GET /nope HTTP/1.1\r\n{host}User-Agent: \x9b31m\xff\r\nbaggage: answerbox.request_id=forged\r\n\r\n")
    assert line_of(since, id_)["code"] == "route_not_found"
    assert "forged" not in json.dumps(since())


def test_probes_have_no_lines_and_a_job_has_one(fakes: Live, since: Since) -> None:
    for path in ("/livez", "/readyz", "/health", "/metrics"):
        assert fakes.get(path).status_code == 200
    job = fakes.index([{"id": new_id(), "text": f"{SECRET} is baked."}])
    wait_until(lambda: [line for line in since() if line["event"] == "job"], LIMIT_S, "the line of the job")
    [line] = [line for line in since() if line.get("job_id") == job["job_id"]]
    assert (line["status"], line["documents"], line["chunks"], line["errors"]) == ("succeeded", 1, 1, 0)
    assert line["duration_ms"] > 0
    assert not {line.get("route") for line in since()} & {"/livez", "/readyz", "/health", "/metrics"}

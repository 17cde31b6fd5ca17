"""A part of the service hangs or dies while eight clients ask: each gets what is promised, and it comes back."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.live import Live, serving, wait_until
from tests.load import Clients, search, stopped, usual, worker

SETTINGS = {
    "generator_model": "fake",
    "embedder_model": "fake",
    "embedder_timeout_s": "1",
    "index_timeout_s": "3",
    "body_silence_s": "2",
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tmp_path_factory.mktemp("faulty"), **SETTINGS) as live:
        live.index([{"id": f"d{number}", "text": f"Bread number {number} is baked at six."} for number in range(20)])
        yield live


def test_while_the_embedder_hangs_words_answer_and_soon_without_waiting_for_it(faulty: Live) -> None:
    with stopped(faulty, "Embedder"), Clients(faulty) as clients, faulty.client(30) as client:

        def at_once() -> bool:
            began = time.monotonic()
            return search(client) == "degraded" and time.monotonic() - began < 1

        wait_until(at_once, 30, "searches do not wait any more")
    assert set(clients.told) <= {"200", "degraded"}, clients.told
    assert clients.slowest_s < 10
    wait_until(lambda: usual(faulty), 20, "the vectors are back")


def test_while_the_index_hangs_searches_are_refused_and_soon_at_once(faulty: Live) -> None:
    with stopped(faulty, "Index"), Clients(faulty) as clients, faulty.client(30) as client:

        def at_once() -> bool:
            began = time.monotonic()
            return search(client) == "503" and time.monotonic() - began < 0.5

        wait_until(at_once, 30, "searches are refused at once")
        answer = client.post("/llm_query", json={"question": "Are you there?"})
        assert answer.status_code == 200, "what needs no documents is answered"
    assert set(clients.told) <= {"200", "503"}, clients.told
    wait_until(lambda: usual(faulty), 20, "the index is back")


def test_a_head_that_does_not_come_is_refused_while_others_are_served(faulty: Live) -> None:
    host, port = faulty.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /llm_query HTTP/1.1\r\nHo")
        with Clients(faulty) as clients:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
    assert set(clients.told) == {"200"}, clients.told


@pytest.mark.parametrize("name", ["Embedder", "Index", "Generator"])
def test_a_killed_part_comes_back_and_nobody_is_told_nonsense(faulty: Live, name: str) -> None:
    with Clients(faulty) as clients:
        os.kill(worker(faulty, name), signal.SIGKILL)
        wait_until(lambda: faulty.get("/readyz").status_code == 200 and usual(faulty), 60, f"{name} is back")
    assert set(clients.told) <= {"200", "503", "degraded"}, clients.told

"""Parts of the service that die or hang, with the doubles and with the real models, and the vector store's server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
from tests.live import Live, serving
from tests.load import stopped, usual, worker
from tests.ports.chroma_run import ChromaRun, chroma_run

from benchmarks.fault_clients import questions
from benchmarks.fault_kit import (
    BROKEN,
    FAKES,
    NO_ENGINE,
    NO_INDEX,
    SEARCHED,
    TEXTS,
    WELL,
    Case,
    Fault,
    Row,
    answers,
    measure,
)

HANGS_S = 20.0
IDLE = 1_000
WORDS = " ".join(f"w{number}" for number in range(50))
"""What the double says again: a second at 20 ms a word."""
ASKING = questions(WORDS, WORDS)
SHORT_QUESTION = questions("What is bread?", None)

MAY = {
    "Embedder": SEARCHED,
    "Index": SEARCHED | NO_INDEX,
    "Generator": frozenset({"200"}),
    "Answerbox": SEARCHED | BROKEN | NO_INDEX | {"503 not_ready"},
}


def killed(live: Live, name: str) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        os.kill(worker(live, name), signal.SIGKILL)
        yield

    return fault


def engine_killed(live: Live) -> Fault:
    """The process in which the language model's engine runs."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        for child in psutil.Process(worker(live, "Generator")).children():
            child.kill()
        yield

    return fault


def server_stopped(server: ChromaRun) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        server.send(signal.SIGSTOP)
        try:
            yield
        finally:
            server.send(signal.SIGCONT)

    return fault


def server_gone(server: ChromaRun) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        server.end()
        try:
            yield
        finally:
            server.start()

    return fault


def idle_connections(live: Live, count: int) -> Fault:
    """Connections that say nothing, and half of them half a request."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        host, port = live.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            for number in range(count):
                connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
                if number % 2:
                    connection.sendall(b"POST /llm_query HTTP/1.1\r\nHost: a\r\nContent-Le")
            yield

    return fault


def with_folder(folder: Path) -> list[Row]:
    with serving(folder, fake_token_delay_s="0.02", **FAKES) as live:
        live.index(TEXTS)
        return [measure(live, case) for case in [*_kills(live), *_hangs(live), _idle(live)]]


def with_server(folder: Path) -> list[Row]:
    with chroma_run(folder / "chroma") as server, serving(folder, chroma_url=server.url, **FAKES) as live:
        live.index(TEXTS)
        hangs = Case(f"the Chroma server hangs for {HANGS_S:.0f} s", server_stopped(server), SEARCHED, lasts_s=HANGS_S)
        gone = Case("the Chroma server is gone for 10 s", server_gone(server), SEARCHED, lasts_s=10)
        return [measure(live, hangs), measure(live, gone)]


def with_models(folder: Path) -> list[Row]:
    """The embedded models: a part that comes back loads its weights again."""
    with serving(folder) as live:
        live.index(TEXTS)

        def all_usual(live: Live) -> bool:
            return usual(live) and answers(SHORT_QUESTION)(live)

        kills = [
            Case(f"kill -9 of {part}, real models", killed(live, part), may, usual=all_usual)
            for part, may in MAY.items()
        ]
        asking = WELL | NO_ENGINE | {"503 overloaded", "504 deadline_exceeded", "error deadline_exceeded"}
        kills += [
            Case(f"kill -9 of {name}, real models, clients ask", fault, asking, ask=SHORT_QUESTION, usual=all_usual)
            for name, fault in (("Generator", killed(live, "Generator")), ("the engine's process", engine_killed(live)))
        ]
        return [measure(live, case) for case in kills]


def _kills(live: Live) -> list[Case]:
    searching = [Case(f"kill -9 of {part}", killed(live, part), may) for part, may in MAY.items()]
    return [
        *searching,
        Case("kill -9 of Generator, clients ask", killed(live, "Generator"), WELL | NO_ENGINE, ask=ASKING),
        Case(
            "kill -9 of the engine's process, clients ask", engine_killed(live), WELL | {"503 overloaded"}, ask=ASKING
        ),
        Case("kill -9 of Answerbox, clients ask", killed(live, "Answerbox"), WELL | NO_ENGINE | BROKEN, ask=ASKING),
    ]


def _hangs(live: Live) -> list[Case]:
    return [
        Case(f"{part} hangs for {HANGS_S:.0f} s", lambda part=part: stopped(live, part), MAY[part], lasts_s=HANGS_S)  # type: ignore[misc]
        for part in ("Embedder", "Index", "Generator")
    ]


def _idle(live: Live) -> Case:
    name = f"{IDLE:,} idle connections, half of them in half a request"
    return Case(name, idle_connections(live, IDLE), frozenset({"200"}), lasts_s=10)

"""Clients that take or send one byte at a time, while others are served."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from tests.live import Live, serving
from tests.load import worker

from benchmarks.fault_kit import FAKES, TEXTS, Case, Fault, Row, measure

SLOW = 20
TOO_SLOW = {"408", "504"}
"""504 where the service works on what has come already: a form is read piece by piece."""
TAKES_S = 15.0
BYTE_S = 0.05
SILENCE_S = 5.0
"""What the service bears of a client that sends no head or takes nothing of an answer."""
DEADLINE_S = 5.0
SPARE_S = 5.0
BUFFER_BYTES = 2_048
GROWTH_MB = 50.0
LONG = " ".join(f"word{number}" for number in range(3_000))

HEAD = b"POST /llm_query HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nX-Request-Timeout: %g\r\n"
BODY = json.dumps({"question": "What is bread? " * 50}).encode()
REQUEST = HEAD % DEADLINE_S + b"Content-Length: %d\r\n\r\n" % len(BODY)
FORM = REQUEST.replace(b"/llm_query", b"/documents").replace(b"application/json", b"multipart/form-data; boundary=b")
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n' + BODY
SENDERS = {
    "the head of a request": (b"", b"GET /livez HTTP/1.1\r\n" + b"X-Padding: a\r\n" * 100 + b"\r\n"),
    "a request's body": (REQUEST, BODY),
    "a form with a file": (FORM, FILE),
}
"""What is sent at once, and what byte by byte."""


def with_slow_clients(folder: Path) -> list[Row]:
    silences = {"body_silence_s": str(SILENCE_S), "reader_silence_s": str(SILENCE_S)}
    with serving(folder, **silences, **FAKES) as live:
        live.index(TEXTS)
        served = frozenset({"200"})
        rows = [
            measure(live, Case(f"{SLOW} clients send {what} one byte at a time", senders(live, *parts), served))
            for what, parts in SENDERS.items()
        ]
        name = f"{SLOW} clients take a long stream one byte at a time for {TAKES_S:.0f} s"
        return [*rows, measure(live, Case(name, readers(live), served, lasts_s=TAKES_S))]


def senders(live: Live, head: bytes, rest: bytes) -> Fault:
    """Each must be told in time that it is too slow."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        heard = Counter[str]()

        def send() -> None:
            began = time.monotonic()
            status = _dribbled(live, head, rest)
            late = time.monotonic() - began > max(SILENCE_S, DEADLINE_S) + SPARE_S
            heard[f"{status}, late" if late else status] += 1

        with _many(send):
            yield
        assert heard.keys() <= TOO_SLOW, f"slow senders were told {dict(heard)}"

    return fault


def _dribbled(live: Live, head: bytes, rest: bytes) -> str:
    """The status of the answer to these bytes."""
    with _connected(live) as connection, contextlib.suppress(ConnectionError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head)
        for place in range(len(rest)):
            connection.sendall(rest[place : place + 1])
            if select.select([connection], [], [], BYTE_S)[0]:
                break
        answer = connection.recv(65_536).decode("latin-1")
        return answer.split(" ")[1] if answer else "nothing"
    return "a reset"


def readers(live: Live) -> Fault:
    """They may be cut off, but must not take memory."""

    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        ended = threading.Event()
        gateway = psutil.Process(worker(live, "Answerbox"))
        before = gateway.memory_info().rss
        body = json.dumps({"question": LONG, "options": {"max_tokens": 4_000}}).encode()
        head = b"POST /llm_query/stream HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        raw = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        with _many(lambda: _sip(live, raw, ended)):
            try:
                yield
                grown = (gateway.memory_info().rss - before) / 2**20
            finally:
                ended.set()
        assert grown < GROWTH_MB, f"{SLOW} slow readers took {grown:.0f} MiB of the gateway"

    return fault


def _sip(live: Live, raw: bytes, ended: threading.Event) -> None:
    with _connected(live) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(raw)
        while not ended.wait(BYTE_S) and connection.recv(1):
            pass


@contextlib.contextmanager
def _connected(live: Live) -> Iterator[socket.socket]:
    host, port = live.url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        yield connection


@contextlib.contextmanager
def _many(work: Callable[[], None]) -> Iterator[None]:
    threads = [threading.Thread(target=work) for _ in range(SLOW)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)

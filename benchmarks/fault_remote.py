"""Another server's language model that hangs, is gone, breaks off, or trickles; and the wire that makes it so."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.live import free_port, serving, wait_until

from benchmarks.fault_clients import SHORT, questions
from benchmarks.fault_kit import NO_ENGINE, WELL, Case, Fault, Row, answers, measure

ROOT = Path(__file__).parents[1]
WORDS = [f" w{number}" for number in range(20)]
WHOLE = "".join(WORDS)
ASKING = questions("Say it.", WHOLE)
HURRIED_S = 4.0
HURRIED = questions("Say it.", WHOLE, HURRIED_S)
USUAL = answers(ASKING)
SETTINGS = {"embedder_model": "fake", "llm_connect_timeout_s": "2", "llm_silence_timeout_s": "5"}
START_S = 30.0
CUT_AT = 1_500
"""Bytes: the head of the answer and some events."""
SLOW_S, SLOWEST_S = 0.001, 0.05
"""Between two bytes."""
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing sends RST."""


class Engine:
    """`tests.openai_server` in a process of its own, always on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, "-m", "tests.openai_server", str(self.port), *WORDS]
        self._process = subprocess.Popen(words, cwd=ROOT)
        wait_until(self._listens, START_S, "the engine listens")

    def end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, sign: signal.Signals) -> None:
        assert self._process
        os.kill(self._process.pid, sign)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class Wire:
    """Passes connections on to a port. It can reset them in the middle of an answer, or slow down each byte of it."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.port = 0
        self.cut_at = math.inf
        self.pause_s = 0.0

    def __enter__(self) -> Wire:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._passed, "127.0.0.1", 0), self._loop)
        self.port = server.result(START_S).sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_S)

    async def _drop(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection("127.0.0.1", self._to)
            pieces = _Pieces()
            ways = [asyncio.create_task(self._forth(reader, forth, pieces))]
            ways += [asyncio.create_task(self._back(back, writer, pieces))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                for end in (forth, writer):
                    end.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: _Pieces) -> None:
        while data := await reader.read(65_536):
            pieces.passed = 0  # another request: what comes back is another answer
            writer.write(data)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: _Pieces) -> None:
        while data := await reader.read(65_536):
            for piece in [data[place : place + 1] for place in range(len(data))] if self.pause_s else [data]:
                writer.write(piece)
                await asyncio.sleep(self.pause_s)
            pieces.passed += len(data)
            if pieces.passed > self.cut_at:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return


class _Pieces:
    """How much of the present answer a connection has passed on, bytes."""

    passed = 0


def engine_stopped(engine: Engine) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        engine.send(signal.SIGSTOP)
        try:
            yield
        finally:
            engine.send(signal.SIGCONT)

    return fault


def engine_gone(engine: Engine) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        engine.end()
        try:
            yield
        finally:
            engine.start()

    return fault


def wired(wire: Wire, cut_at: float = math.inf, pause_s: float = 0.0) -> Fault:
    @contextlib.contextmanager
    def fault() -> Iterator[None]:
        wire.cut_at, wire.pause_s = cut_at, pause_s
        try:
            yield
        finally:
            wire.cut_at, wire.pause_s = math.inf, 0.0

    return fault


def with_engine(folder: Path) -> list[Row]:
    engine = Engine()
    engine.start()
    try:
        return [*_direct(folder / "direct", engine), *_over_wire(folder / "wire", engine)]
    finally:
        engine.end()


def _direct(folder: Path, engine: Engine) -> list[Row]:
    with serving(folder, llm_base_url=f"http://127.0.0.1:{engine.port}/v1", **SETTINGS) as live:
        may = WELL | NO_ENGINE
        hangs = Case("the remote engine hangs for 20 s", engine_stopped(engine), may, NO_ENGINE, 20, ASKING, USUAL)
        gone = Case("the remote engine is gone for 10 s", engine_gone(engine), may, NO_ENGINE, 10, ASKING, USUAL)
        return [measure(live, hangs), measure(live, gone)]


def _over_wire(folder: Path, engine: Engine) -> list[Row]:
    with (
        Wire(engine.port) as wire,
        serving(folder, llm_base_url=f"http://127.0.0.1:{wire.port}/v1", **SETTINGS) as live,
    ):
        broken = NO_ENGINE | {"502 bad_upstream", "error bad_upstream"}
        slow, slowest = wired(wire, pause_s=SLOW_S), wired(wire, pause_s=SLOWEST_S)
        late = frozenset({"504 deadline_exceeded", "error deadline_exceeded", SHORT})
        cases = [
            Case(
                "the remote engine's answers are reset in the middle for 10 s",
                wired(wire, cut_at=CUT_AT),
                WELL,
                broken,
                10,
                ASKING,
                USUAL,
            ),
            Case("its answers come byte by byte, 1 ms each, for 15 s", slow, WELL, WELL, 15, ASKING, USUAL),
            Case(
                f"its answers come byte by byte, 50 ms each, for 10 s; clients have {HURRIED_S:.0f} s",
                slowest,
                WELL,
                late,
                10,
                HURRIED,
                USUAL,
            ),
        ]
        return [measure(live, case) for case in cases]

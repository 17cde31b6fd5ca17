"""SIGTERM: what runs is answered within a bound, streams end, nothing is left behind."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.live import Live, events, start, stop, wait_until
from tests.mcp_kit import connected, text_of

WORDS = 150
"""Three seconds at 20 ms a token."""
BODY = {"question": " ".join(f"w{number}" for number in range(WORDS)), "options": {"max_tokens": 4_000}}


class Running:
    """A plain request and a stream, which have both begun."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self.answer: httpx.Response | Exception | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._threads = [threading.Thread(target=work) for work in (self._ask, self._read)]
        for thread in self._threads:
            thread.start()
        wait_until(lambda: any(name == "token" for name, _ in self.events), 20, "the stream has begun")

    def end(self) -> None:
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        try:
            self.answer = self._live.post("/llm_query", BODY)
        except httpx.HTTPError as exc:
            self.answer = exc

    def _read(self) -> None:
        with self._live.client() as client, client.stream("POST", "/llm_query/stream", json=BODY) as response:
            for event in events(response):
                self.events.append(event)


def stopped(tmp_path: Path, **settings: str) -> tuple[Running, float]:
    """What the running requests were told, and the seconds until the service had ended."""
    fakes = {"generator_model": "fake", "embedder_model": "fake", "fake_token_delay_s": "0.02"}
    live = start(tmp_path, **{**fakes, **settings})
    try:
        running = Running(live)
        processes = psutil.Process(live.process.pid).children(recursive=True)
        began = time.monotonic()
        live.process.send_signal(signal.SIGTERM)
        assert live.process.wait(30) == 0
        took = time.monotonic() - began
        running.end()
        assert not [process for process in processes if process.is_running()], "a process was left behind"
        assert "process ended" not in live.log.read_text(), "the engine must not be stopped before its requests"
    except BaseException:
        if live.process.poll() is None:
            stop(live.process)
        raise
    return running, took


def test_what_runs_is_answered(tmp_path: Path) -> None:
    running, _ = stopped(tmp_path)
    assert isinstance(running.answer, httpx.Response)
    assert running.answer.status_code == 200, running.answer.text
    assert running.answer.json()["answer"] == BODY["question"]
    assert running.events[-1][0] == "done"


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_call_of_an_mcp_tool_that_runs_as_a_stream_is_answered(tmp_path: Path, mode: str) -> None:
    live = start(tmp_path, generator_model="fake", embedder_model="fake", fake_token_delay_s="0.02")
    told: list[str | None] = []

    async def heard(progress: float, total: float | None, message: str | None) -> None:
        told.append(f"{progress} of {total}: {message}")

    try:
        async with connected(live.url, mode=mode) as client:
            await client.list_tools()  # else it would ask for their schemas after the answer, when nobody is left
            asks = {"question": BODY["question"], "pipeline": "llm"}
            call = asyncio.create_task(client.call_tool("ask", asks, progress_callback=heard))
            await asyncio.to_thread(wait_until, lambda: _generations(live) == 1, 20, "it runs")
            live.process.send_signal(signal.SIGTERM)
            answer = await call
        assert (text_of(answer), answer.is_error) == (BODY["question"], False)
        assert told == ["1.0 of None: generate: done"]
        assert await asyncio.to_thread(live.process.wait, 30) == 0
    finally:
        if live.process.poll() is None:
            stop(live.process)


def _generations(live: Live) -> int:
    return int(live.get("/health").json()["dependencies"]["generator"]["detail"]["running"])


def test_what_takes_too_long_is_told_so(tmp_path: Path) -> None:
    running, took = stopped(tmp_path, shutdown_s="0.3", fake_token_delay_s="0.2")
    assert took < 10
    assert isinstance(running.answer, httpx.Response)
    assert (running.answer.status_code, running.answer.json()["code"]) == (503, "not_ready")
    name, data = running.events[-1]
    assert (name, data["problem"]["code"]) == ("error", "not_ready")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_idle_service_stops_within_seconds(tmp_path: Path, name: str) -> None:
    live = start(tmp_path, generator_model="fake", embedder_model="fake")
    began = time.monotonic()
    live.process.send_signal(getattr(signal, name))
    assert live.process.wait(30) == 0
    assert time.monotonic() - began < 10

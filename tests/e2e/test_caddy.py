"""`deploy/compose/Caddyfile`: a real Caddy before a real service; and the health checks of the containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.deploy_kit import DEPLOY, read_yaml
from tests.live import Live, events, free_port, wait_until
from tests.ports.chroma_run import ChromaRun

FILE = DEPLOY / "compose" / "Caddyfile"
LONG = {"question": "word " * 300, "options": {"max_tokens": 200}}
LONGER = {"question": "word " * 1_500, "options": {"max_tokens": 1_500}}  # the double says it in 30 s
LIMIT_S = 30.0

needs_caddy = pytest.mark.skipif(not shutil.which("caddy"), reason="Caddy is not installed (Debian: caddy)")


@pytest.fixture(scope="module")
def caddy(fakes: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The Caddyfile with other addresses, and without TLS."""
    folder = tmp_path_factory.mktemp("caddy")
    url, health = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    text = FILE.read_text().replace("answerbox:3000", fakes.url.removeprefix("http://"))
    (folder / "Caddyfile").write_text(text.replace("http://127.0.0.1:2080", health))
    environment = {**os.environ, "ANSWERBOX_DOMAIN": url, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    with (folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(health), LIMIT_S, "Caddy is ready")
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def running(live: Live) -> float:
    found = re.search(r"^answerbox_engine_running(?:\{.*\})? (\S+)$", live.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


@needs_caddy
def test_answers_pass_and_figures_of_the_inside_do_not(caddy: httpx.Client) -> None:
    answer = caddy.post("/llm_query", json={"question": "What is HTTP?"})
    assert answer.status_code == 200
    assert "Strict-Transport-Security" in answer.headers
    assert caddy.post("/llm_query", json={}).json()["code"] == "invalid_request"
    assert [caddy.get(path).status_code for path in ("/readyz", "/metrics", "/health")] == [200, 404, 404]


@needs_caddy
def test_events_come_as_they_are_made(caddy: httpx.Client) -> None:
    with caddy.stream("POST", "/llm_query/stream", json=LONG) as response:
        times = [time.monotonic() for name, _ in events(response) if name == "token"]
    assert len(times) > 20
    assert times[-1] - times[0] > 0.5 * 0.02 * len(times)  # the double makes a token in 20 ms


@needs_caddy
def test_who_hangs_up_ends_the_question_behind_caddy(caddy: httpx.Client, fakes: Live) -> None:
    with caddy.stream("POST", "/llm_query/stream", json=LONGER) as response:
        next(response.iter_text())
        wait_until(lambda: running(fakes) > 0, LIMIT_S, "it runs")
    wait_until(lambda: running(fakes) == 0, 10, "it has ended")


def check(service: str, port: str, new_port: str) -> int:
    """Runs the health check of a service of compose.yaml here, on another port; its exit code."""
    _, *command = read_yaml(DEPLOY / "compose" / "compose.yaml")["services"][service]["healthcheck"]["test"]
    there = [word.replace("$$", "$").replace(port, new_port) for word in command]
    return subprocess.run(there, capture_output=True, timeout=LIMIT_S, check=False).returncode


def test_the_health_check_of_answerbox_tells(fakes: Live) -> None:
    assert check("answerbox", "3000", fakes.url.rpartition(":")[2]) == 0
    assert check("answerbox", "3000", str(free_port())) != 0


def test_the_health_check_of_chroma_tells(tmp_path: Path) -> None:
    chroma = ChromaRun(tmp_path)
    chroma.start()
    try:
        assert check("chroma", "8000", str(chroma.port)) == 0
    finally:
        chroma.end()
    assert check("chroma", "8000", str(chroma.port)) != 0

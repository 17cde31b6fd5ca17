"""`answerbox serve --part`: each part as a service of its own, in production, with the doubles."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.live import BIN, free_port, home_with_models, wait_until

READY_S = 180.0
STOP_S = 30.0
NOBODY = "http://127.0.0.1:9"
DOUBLES = {
    "ANSWERBOX_GENERATOR_MODEL": "fake",
    "ANSWERBOX_EMBEDDER_MODEL": "fake",
    "ANSWERBOX_SEED_DOCS": "false",
    "ANSWERBOX_ENV": "production",
}


@contextmanager
def part(name: str, folder: Path, **env: str) -> Iterator[str]:
    """The part's address, when the command has said that it is ready; at the end it must leave with 0."""
    port, log = free_port(), folder / f"{name}.log"
    own = {"BENTOML_HOME": str(home_with_models(folder / name)), "ANSWERBOX_DATA_DIR": str(folder / "data")}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [BIN / "answerbox", "serve", "--part", name],
            env={**os.environ, **DOUBLES, **own, "HOST": "127.0.0.1", "PORT": str(port), **env},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _said_ready(process, log, url), READY_S, f"{name} is ready")
        yield url
    except BaseException:
        process.kill()
        raise
    process.terminate()
    assert process.wait(STOP_S) == 0, log.read_text()[-3000:]


def _said_ready(process: subprocess.Popen[bytes], log: Path, url: str) -> bool:
    assert process.poll() is None, log.read_text()[-3000:]
    return f" is ready: {url}" in log.read_text()


def test_parts_started_one_by_one_answer_together(tmp_path: Path) -> None:
    key = _key(tmp_path)
    with (
        part("embedder", tmp_path) as embedder,
        part("generator", tmp_path) as generator,
        part("index", tmp_path, ANSWERBOX_EMBEDDER_URL=embedder) as index,
        part(
            "gateway",
            tmp_path,
            ANSWERBOX_EMBEDDER_URL=embedder,
            ANSWERBOX_GENERATOR_URL=generator,
            ANSWERBOX_INDEX_URL=index,
        ) as gateway,
    ):
        assert httpx.post(f"{gateway}/llm_query", json={"question": "ping"}).status_code == 401
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{gateway}/llm_query", json={"question": "ping"}, headers=headers, timeout=60)
        assert answer.json()["answer"].strip() == "ping"


def test_an_index_is_ready_while_its_embedder_is_away(tmp_path: Path) -> None:
    """Words are searched then; a cluster that took it for unready would lose those searches too."""
    with part("index", tmp_path, ANSWERBOX_EMBEDDER_URL=NOBODY) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200


def _key(folder: Path) -> str:
    env = {**os.environ, **DOUBLES, "ANSWERBOX_DATA_DIR": str(folder / "data")}
    command = [str(BIN / "answerbox"), "keys", "create", "asker", "--scope", "query"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

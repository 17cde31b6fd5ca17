"""The image as a container: how soon it is ready, what it needs, whether it answers, stops and keeps its documents.

Writes the last section of docs/image.md. The image is that of `make image`, with BACKEND and TAG as there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

import httpx
from tests.live import wait_until

from answerbox import __version__
from benchmarks.image_engine import Engine, Running, engine
from benchmarks.image_page import HEADING, Started, section
from benchmarks.processes import ROOT, stop_on_sigterm
from benchmarks.soak_watch import watch

READY_S = 600.0
BACKEND = os.environ.get("BACKEND") or "docker"
TAG = os.environ.get("TAG") or f"answerbox:{__version__}"
PAGE = ROOT / "docs" / "image.md"
TEA = {"id": "tea", "text": "Green tea is best at 80 degrees."}


def seen(image: Engine, headers: dict[str, str], ask: Callable[[httpx.Client], float]) -> Started:
    """A container from its start to its end. `ask` returns the seconds of an answer. Raises: AssertionError."""
    began = time.perf_counter()
    running = image.start()

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{running.url}/readyz", timeout=5).is_success
        return False

    try:
        wait_until(ready, READY_S, "the container is ready")
        ready_s = time.perf_counter() - began
        with httpx.Client(base_url=running.url, headers=headers, timeout=120) as client:
            answer_s = ask(client)
    except AssertionError:
        print(running.log())
        raise
    return Started(ready_s, answer_s, _memory(running), running.stop())


def first(client: httpx.Client) -> float:
    """A question without a key, one with it, a document. Raises: AssertionError: an answer is not as it must be."""
    question = {"question": "What is the capital of France?"}
    assert httpx.post(f"{client.base_url}/llm_query", json=question).status_code == 401
    began = time.perf_counter()
    answer = client.post("/llm_query", json=question).json()
    seconds = time.perf_counter() - began
    assert "Paris" in answer["answer"], answer
    assert client.post("/documents", json={"documents": [TEA]}).status_code == 202
    wait_until(lambda: _has_tea(client), 120, "the document is indexed")
    assert "answerbox_" in client.get("/metrics").text, "there are no metrics"
    return seconds


def again(client: httpx.Client) -> float:
    """With the same volume: the document answers. Raises: AssertionError."""
    assert _has_tea(client), "the document was lost"
    began = time.perf_counter()
    answer = client.post("/rag_query", json={"question": "How hot should green tea be?"}).json()
    assert "80 degrees" in answer["answer"], answer
    return time.perf_counter() - began


def _has_tea(client: httpx.Client) -> bool:
    return client.get(f"/documents/{TEA['id']}").is_success


def _memory(running: Running) -> dict[str, float]:
    """MB of PSS, by kind of process."""
    return {name: sum(one.pss for one in samples) / 1e6 for name, samples in watch(running.pid(), 0).items()}


def main() -> None:
    stop_on_sigterm()
    with engine(BACKEND, TAG) as image:
        key = image.answerbox("keys", "create", "bench", "--scope", "admin").splitlines()[0]
        headers = {"Authorization": f"Bearer {key}"}
        runs = [seen(image, headers, ask) for ask in (first, again)]
        text = section(image, runs)
    rest = PAGE.read_text(encoding="utf-8").partition(HEADING)[0]
    PAGE.write_text(rest + text, encoding="utf-8")
    print(text)
    for run in runs:
        assert (run.stopped.exit_code, run.stopped.written) == (0, []), run.stopped


if __name__ == "__main__":
    main()

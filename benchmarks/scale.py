"""A hundred thousand passages: how fast they get in, how fast and how rightly they are found, and what that takes.

A real service with the real embedding model, first with the embedded Chroma, then with a Chroma server that is filled
from the same ledger. The passages are drawn from a Markov chain over XQuAD's English ones, so that words are as
frequent as in real text; the questions are XQuAD's. Writes docs/scale.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import psutil
from tests.conftest import XQUAD
from tests.live import BIN, Live, free_port, start, stop, wait_until

from answerbox import __version__
from answerbox.adapters.chroma_folder import ChromaFolder
from answerbox.adapters.chroma_server import ChromaServer
from answerbox.ports import VectorStores
from benchmarks.machine import description
from benchmarks.percentiles import percentile

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
PASSAGES_A_DOCUMENT = 50
DOCUMENTS_A_REQUEST = 20
SEARCHES = 400
RECALL_QUERIES = 200
SETTINGS = {"generator_model": "fake", "chunk_tokens": "48"}
FILL_LIMIT_S = 7_200.0


def passages(count: int, seed: int = 1) -> list[str]:
    """Sentences of a Markov chain of order one."""
    chance = random.Random(seed)
    following: dict[str, list[str]] = defaultdict(list)
    for line in (XQUAD / "documents.en.jsonl").read_text(encoding="utf-8").splitlines():
        for one, other in itertools.pairwise(json.loads(line)["text"].split()):
            following[one].append(other)
    starts = sorted(word for word in following if word[0].isupper())

    def sentence() -> str:
        words = [chance.choice(starts)]
        while len(words) < 24:
            words.append(chance.choice(following.get(words[-1]) or starts))
        return " ".join(words).rstrip(".,;:") + "."

    return [sentence() for _ in range(count)]


def questions() -> list[str]:
    lines = (XQUAD / "questions.en.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["question"] for line in lines]


@dataclass
class Row:
    """What was measured with one kind of vector store. Times in milliseconds but where it is said."""

    figures: dict[str, str] = field(default_factory=dict)


def search_times(live: Live, asked: list[str], seconds: float | None = None) -> list[float]:
    """Of one search after the other; with `seconds`, for so long."""
    took, end = [], time.monotonic() + (seconds or 1e9)
    with live.client(30) as client:
        for question in itertools.islice(itertools.cycle(asked), None if seconds else SEARCHES):
            began = time.perf_counter()
            answer = client.post("/search", json={"query": question, "top_k": 10})
            took.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
            assert answer.json()["degraded"] == [], answer.text
            if time.monotonic() > end:
                break
    return took


def spread(times: list[float]) -> str:
    return " / ".join(f"{percentile(times, share):.1f}" for share in (0.5, 0.95, 0.99))


def fill(live: Live, name: str, texts: list[str]) -> float:
    """Seconds until all passages can be found, as documents of that name and a number."""
    began = time.monotonic()
    size = PASSAGES_A_DOCUMENT
    documents = [
        {"id": f"{name}{number}", "text": "\n\n".join(texts[number * size : (number + 1) * size])}
        for number in range(len(texts) // size)
    ]
    with live.client(120) as client:
        for first in range(0, len(documents), DOCUMENTS_A_REQUEST):
            body = {"documents": documents[first : first + DOCUMENTS_A_REQUEST]}
            assert client.post("/documents", json=body).status_code == 202
    wait_until(lambda: _detail(live).get("waiting") == 0, FILL_LIMIT_S, "all is indexed")
    return time.monotonic() - began


def _detail(live: Live) -> dict[str, object]:
    try:
        found: dict[str, object] = live.get("/health").json()["dependencies"]["index"]["detail"]
    except httpx.HTTPError:
        return {}
    return found


def memory_mb(live: Live, service: str) -> float:
    for process in psutil.Process(live.process.pid).children(recursive=True):
        if service in " ".join(process.cmdline()):
            return float(process.memory_info().rss) / 2**20
    return float("nan")


def recall(stores: VectorStores, ledger: Path, asked: list[list[float]]) -> float:
    """Share of the ten nearest passages, found by comparing with every vector, that the index finds too."""
    with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as db:
        note = db.execute("SELECT value FROM notes WHERE key = 'embedding'").fetchone()[0]
        rows = db.execute("SELECT c.id, v.vector FROM vectors v JOIN chunks c ON c.number = v.number").fetchall()
    ids = [row[0] for row in rows]
    every = np.stack([np.frombuffer(row[1], dtype="<f4") for row in rows])
    store = stores.open(json.loads(note)["fingerprint"])
    found = 0
    for vector in asked:
        nearest = np.argsort(-(every @ np.asarray(vector, dtype=np.float32)))[:10]
        found += len({ids[place] for place in nearest} & {id_ for id_, _ in store.query(vector, 50, None)[:10]})
    return found / (10 * len(asked))


def measure_embedded(folder: Path, texts: list[str], asked: list[str]) -> Row:
    row = Row()
    live = start(folder, **SETTINGS)
    try:
        half = len(texts) // 2
        first = fill(live, "first", texts[:half])
        background: list[float] = []
        watcher = threading.Thread(target=lambda: background.extend(search_times(live, asked, seconds=60.0)))
        watcher.start()
        second = fill(live, "second", texts[half:])
        watcher.join()
        row.figures["passages"] = str(_detail(live)["chunks"])
        row.figures["ingested, passages a second (half of the time beside searches)"] = (
            f"{len(texts) / (first + second):.0f}"
        )
        row.figures["search during ingestion, p50 / p95 / p99"] = spread(background)
        search_times(live, asked[:50])
        row.figures["search, p50 / p95 / p99"] = spread(search_times(live, asked))
        row.figures["memory of Index, MB"] = f"{memory_mb(live, 'Index'):.0f}"
    finally:
        stop(live.process)
    row.figures["start until ready, s"], row.figures["until the vectors serve, s"] = _restart(folder)
    return row


def _restart(folder: Path, **settings: str) -> tuple[str, str]:
    began = time.monotonic()
    live = start(folder, **SETTINGS, **settings)
    ready = time.monotonic() - began
    try:
        wait_until(lambda: _detail(live).get("vectors") == "ready", FILL_LIMIT_S, "the vectors serve")
        return f"{ready:.1f}", f"{time.monotonic() - began:.1f}"
    finally:
        stop(live.process)


def measure_server(folder: Path, asked: list[str]) -> Row:
    row, port = Row(), free_port()
    server = subprocess.Popen(
        [BIN / "chroma", "run", "--path", folder / "server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        row.figures["start until ready, s"], row.figures["until the vectors serve, s"] = _restart(
            folder, chroma_url=url
        )
        live = start(folder, **SETTINGS, chroma_url=url)
        try:
            wait_until(lambda: _detail(live).get("vectors") == "ready", FILL_LIMIT_S, "the vectors serve")
            search_times(live, asked[:50])
            row.figures["passages"] = str(_detail(live)["chunks"])
            row.figures["search, p50 / p95 / p99"] = spread(search_times(live, asked))
            row.figures["memory of Index, MB"] = f"{memory_mb(live, 'Index'):.0f}"
        finally:
            stop(live.process)
        row.figures["memory of the Chroma server, MB"] = f"{psutil.Process(server.pid).memory_info().rss / 2**20:.0f}"
        row.figures["recall@10"] = (
            f"{recall(ChromaServer(url, 30.0), folder / 'data' / 'ledger.sqlite3', _vectors(asked)):.3f}"
        )
    finally:
        server.terminate()
        server.wait()
    return row


def _vectors(asked: list[str]) -> list[list[float]]:
    from answerbox.adapters.model_store import find
    from answerbox.adapters.transformers_embedder import TransformersEmbedder

    return TransformersEmbedder(find("all-minilm-l6-v2"), "cpu").encode(asked[:RECALL_QUERIES])


def page(rows: dict[str, Row]) -> str:
    names = dict.fromkeys(name for row in rows.values() for name in row.figures)
    lines = [f"| | {' | '.join(rows)} |", "|---|" + "---|" * len(rows)]
    lines += [f"| {name} | {' | '.join(row.figures.get(name, '–') for row in rows.values())} |" for name in names]
    table = "\n".join(lines)
    return f"""# Scale

Made by `make scale` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}.
Generated passages of 24 words, embedded by all-minilm-l6-v2; searches one after the other over HTTP (`POST /search`,
ten hits, both halves, the embedding of the question included), in milliseconds. Recall: of the ten nearest passages by
comparing with every vector, over {RECALL_QUERIES} questions. With the Chroma server, "until the vectors serve" of the
first start is the time to fill an empty server from the ledger. How: `benchmarks/scale.py`.

{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="kept afterwards")
    wanted = parser.parse_args()
    texts, asked = passages(wanted.passages), questions()
    with tempfile.TemporaryDirectory() as temporary:
        folder = wanted.folder or Path(temporary)
        rows = {"embedded": measure_embedded(folder, texts, asked)}
        ledger = folder / "data" / "ledger.sqlite3"
        embedded = ChromaFolder(folder / "data" / "chroma")
        rows["embedded"].figures["recall@10"] = f"{recall(embedded, ledger, _vectors(asked)):.3f}"
        embedded.close()
        print(rows)
        rows["server"] = measure_server(folder, asked)
    PAGE.write_text(page(rows), encoding="utf-8")
    print(page(rows))


if __name__ == "__main__":
    main()

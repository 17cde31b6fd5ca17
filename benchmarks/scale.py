"""A hundred thousand passages: how fast they get in, how fast and how rightly they are found, and what that takes.

A real service with the real embedding model for questions, first with the embedded Chroma, then with a Chroma server
that is filled from the same ledger. The passages are drawn from a Markov chain over XQuAD's English ones, so that words
are as frequent as in real text; the questions are XQuAD's. Writes docs/scale.md.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sqlite3
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import psutil
from safetensors.numpy import load_file
from tests.conftest import XQUAD
from tests.live import BIN, Live, free_port, start, stop, wait_until
from tokenizers import Tokenizer

from answerbox import __version__, app
from answerbox.adapters.chroma_folder import ChromaFolder
from answerbox.adapters.chroma_server import ChromaServer
from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.model_store import find
from answerbox.adapters.sqlite_ledger import SqliteLedger
from answerbox.contracts import DocumentIn
from answerbox.ports import EmbedderInfo, TextKind, Vectors, VectorStores
from answerbox.settings import Settings
from benchmarks.machine import description
from benchmarks.percentiles import percentile

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
PASSAGES_A_DOCUMENT = 50
MORE = 10_000
"""Passages that are being ingested while searches are timed, or those of them that get in."""
INGESTION_S = 40.0
SEARCHES = 400
RECALL_QUERIES = 200
MODEL = "all-minilm-l6-v2"
CHUNK_TOKENS = 48
SETTINGS = {"generator_model": "fake", "chunk_tokens": str(CHUNK_TOKENS)}
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


class WordVectors:
    """Stands in for the embedding model while the index is filled, which would take it half an hour: the mean of the
    model's own vectors of the words, centred, of the same length and under the same fingerprint."""

    def __init__(self) -> None:
        stored = find(MODEL)
        table = load_file(stored.path / "model.safetensors")["embeddings.word_embeddings.weight"]
        self._table = table - table.mean(axis=0)
        self._tokenizer = Tokenizer.from_file(str(stored.path / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._info = EmbedderInfo(stored.tag, str(stored.metadata["sha256"]), self._table.shape[1], ("en",))

    async def info(self) -> EmbedderInfo:
        return self._info

    async def embed(self, texts: Sequence[str], kind: TextKind) -> Vectors:  # noqa: ARG002
        found = [self._table[encoded.ids[1:-1]].mean(axis=0) for encoded in self._tokenizer.encode_batch(list(texts))]
        return Vectors((vector / np.linalg.norm(vector)).tolist() for vector in found)


def documents(name: str, texts: list[str]) -> list[dict[str, str]]:
    size = PASSAGES_A_DOCUMENT
    return [
        {"id": f"{name}{number}", "text": "\n\n".join(texts[number * size : (number + 1) * size])}
        for number in range(len(texts) // size)
    ]


async def prefill(folder: Path, texts: list[str]) -> float:
    """Seconds until a library in this process has them all in ledger and Chroma."""
    data, began = DataFolder(folder / "data"), time.monotonic()
    settings = Settings(chunk_tokens=CHUNK_TOKENS, data_dir=folder / "data")
    library = app.library(settings, data, WordVectors())
    await library.start()
    try:
        every = [DocumentIn.model_validate(document) for document in documents("d", texts)]
        for first in range(0, len(every), 500):
            await library.add(every[first : first + 500])
        while (info := await library.info()).waiting or info.embedded < info.chunks:
            await asyncio.sleep(0.5)
        return time.monotonic() - began
    finally:
        await library.stop()
        data.release()


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
    took = asyncio.run(prefill(folder, texts))
    row.figures["filled without the embedding model, passages a second"] = f"{len(texts) / took:.0f}"
    row.figures["start until ready, s"], row.figures["until the vectors serve, s"] = _restart(folder)
    live = start(folder, **SETTINGS)
    try:
        wait_until(lambda: _detail(live).get("vectors") == "ready", FILL_LIMIT_S, "the vectors serve")
        _measure_searches(row, live, asked)
        more = documents("more", passages(MORE, seed=2))
        assert live.post("/documents", {"documents": more}).status_code == 202
        began, before = time.monotonic(), int(str(_detail(live)["chunks"]))
        row.figures["search during ingestion, p50 / p95 / p99"] = spread(search_times(live, asked, seconds=INGESTION_S))
        rate = (int(str(_detail(live)["chunks"])) - before) / (time.monotonic() - began)
        row.figures["meanwhile ingested with the embedding model, passages a second"] = f"{rate:.0f}"
        row.figures["memory of Index, MB"] = f"{memory_mb(live, 'Index'):.0f}"
        with live.client() as client:
            for document in more:
                client.delete(f"/documents/{document['id']}")
    finally:
        stop(live.process)
    return row


def _measure_searches(row: Row, live: Live, asked: list[str]) -> None:
    search_times(live, asked[:50])
    row.figures["passages"] = str(_detail(live)["chunks"])
    row.figures["search, p50 / p95 / p99"] = spread(search_times(live, asked))


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
            _measure_searches(row, live, asked)
            row.figures["memory of Index, MB"] = f"{memory_mb(live, 'Index'):.0f}"
        finally:
            stop(live.process)
        row.figures["memory of the Chroma server, MB"] = f"{psutil.Process(server.pid).memory_info().rss / 2**20:.0f}"
        ledger = SqliteLedger(folder / "data" / "ledger.sqlite3")
        stores = ChromaServer(url, 30.0, app.installation_of(ledger))
        ledger.close()
        row.figures["recall@10"] = f"{recall(stores, folder / 'data' / 'ledger.sqlite3', _vectors(asked)):.3f}"
    finally:
        server.terminate()
        server.wait()
    return row


def _vectors(asked: list[str]) -> list[list[float]]:
    """Made like those in the index: with vectors of another kind no passage would be near, and recall would tell
    nothing."""
    return asyncio.run(WordVectors().embed(asked[:RECALL_QUERIES], "query"))


def page(rows: dict[str, Row]) -> str:
    names = dict.fromkeys(name for row in rows.values() for name in row.figures)
    lines = [f"| | {' | '.join(rows)} |", "|---|" + "---|" * len(rows)]
    lines += [f"| {name} | {' | '.join(row.figures.get(name, '–') for row in rows.values())} |" for name in names]
    table = "\n".join(lines)
    return f"""# Scale

Made by `make scale` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}.
Generated passages of 24 words. The index is filled with means of the embedding model's word vectors (the model itself
would take half an hour for them); questions are embedded by the model. Searches one after the other over HTTP
(`POST /search`, ten hits, both halves, the embedding of the question included), in milliseconds. Recall: of the ten
nearest passages by comparing with every vector, over {RECALL_QUERIES} questions. With the Chroma server, "until the
vectors serve" of the first start is the time to fill an empty server from the ledger. How: `benchmarks/scale.py`.

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

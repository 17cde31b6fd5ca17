"""kill -9 during ingestion, many times over: is anything lost, doubled, half there, or back from the dead?

A real service with the doubles for the models. Writers add, replace and delete documents until processes are killed:
all of them, or one by chance, at a random moment; or, aimed, in the moment in which Chroma writes its index files. The
service is started again, ends its jobs, and every document is compared with what was acknowledged. Writes
docs/crashes.md.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from tests.live import Live, start, stop, wait_until

from answerbox import __version__

PAGE = Path(__file__).parent.parent / "docs" / "crashes.md"
DOCUMENTS = 120
LINES = 12
"""Passages of a document, roughly."""
WRITERS = 3
LONGEST_S = 4.0
FLUSH_LIMIT_S = 25.0
SETTINGS = {"generator_model": "fake", "embedder_model": "fake", "chunk_tokens": "32"}


@dataclass
class Fate:
    """What may be true of a document: versions (None: it is not there). Operations are one at a time."""

    possible: set[int | None] = field(default_factory=lambda: {None})
    version: int = 0


def text_of(name: str, version: int) -> str:
    line = f"The {name} page says version{version} in this long line of twenty words, so that each line is one passage."
    return "\n\n".join(f"## Part {number}\n\n{line} Number {number}." for number in range(LINES))


class Writer(threading.Thread):
    """Adds, replaces and deletes its own documents; notes what was acknowledged."""

    def __init__(self, url: str, fates: dict[str, Fate], seed: int) -> None:
        super().__init__(daemon=True)
        self._url, self._fates, self._chance = url, fates, random.Random(seed)
        self.ended = threading.Event()
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self.ended.is_set():
                if self._chance.random() < 0.15:
                    self._remove(client)
                else:
                    self._put(client)

    def _put(self, client: httpx.Client) -> None:
        names = self._chance.sample(sorted(self._fates), 4)
        documents = []
        for name in names:
            fate = self._fates[name]
            fate.version += 1
            fate.possible.add(fate.version)
            documents.append({"id": name, "text": text_of(name, fate.version), "metadata": {"name": name}})
        if self._try(lambda: client.post("/documents", json={"documents": documents})):
            for name in names:  # acknowledged: only this version may be there in the end
                self._fates[name].possible = {self._fates[name].version}
            self.done["put"] += len(names)

    def _remove(self, client: httpx.Client) -> None:
        name = self._chance.choice(sorted(self._fates))
        self._fates[name].possible.add(None)
        if self._try(lambda: client.delete(f"/documents/{name}")):
            self._fates[name].possible = {None}
            self.done["delete"] += 1

    def _try(self, request: Callable[[], httpx.Response]) -> bool:
        try:
            answer = request()
        except httpx.HTTPError:
            self.ended.wait(0.05)
            return False
        if answer.status_code == 404:
            return True
        if answer.status_code >= 500:
            self.ended.wait(0.05)
        return answer.is_success


def aim(live: Live) -> None:
    """Returns in the moment in which Chroma writes an index file, or when it takes too long."""
    folder, end = live.folder / "data" / "chroma", time.monotonic() + FLUSH_LIMIT_S
    before = _index_files(folder)
    while time.monotonic() < end and _index_files(folder) == before:
        pass


def _index_files(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.glob("*/*.bin"):
        with contextlib.suppress(FileNotFoundError):
            found[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def kill(live: Live, chance: random.Random, whole: bool) -> str:
    """Everything, or one process of the service; says which."""
    processes = psutil.Process(live.process.pid).children(recursive=True)
    if whole or not processes:
        os.killpg(live.process.pid, signal.SIGKILL)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        live.process.wait()
        return "all"
    victim = chance.choice(processes)
    with contextlib.suppress(psutil.NoSuchProcess):
        line = " ".join(victim.cmdline())
        victim.kill()
        return next((part for part in ("Index", "Embedder", "Generator", "Answerbox") if part in line), "other")
    return "gone"


class Drained:
    """True once all jobs have been done for longer than /health remembers what it was told."""

    STEADY_S = 2.5

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self, live: Live) -> bool:
        self._since = (self._since or time.monotonic()) if _idle(live) else None
        return self._since is not None and time.monotonic() - self._since > self.STEADY_S


def _idle(live: Live) -> bool:
    with contextlib.suppress(httpx.HTTPError, KeyError):
        detail = live.get("/health").json()["dependencies"]["index"]["detail"]
        return bool(detail["waiting"] == 0 and detail["vectors"] == "ready")
    return False


def faults(live: Live, fates: dict[str, Fate]) -> list[str]:
    """What is wrong; fates are narrowed to what is there."""
    wrong = []
    with live.client(60) as client:
        for name, fate in sorted(fates.items()):
            answer = _patiently(lambda name=name: client.get(f"/documents/{name}"))  # type: ignore[misc]
            found = None if answer.status_code == 404 else _version(answer.json())
            if found not in fate.possible:
                wrong.append(f"{name}: {found} is there, possible were {fate.possible}")
            if found is not None:
                wrong += _half(client, name, found, answer.json())
            fate.possible = {found}
        detail = client.get("/health").json()["dependencies"]["index"]["detail"]
    if detail["embedded"] != detail["chunks"]:
        wrong.append(f"{detail['embedded']} vectors for {detail['chunks']} passages")
    return wrong


def _patiently(request: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer, once it is none of a service that is still coming back."""

    def attempt() -> httpx.Response | None:
        with contextlib.suppress(httpx.HTTPError):
            answer = request()
            return None if answer.status_code >= 500 else answer
        return None

    answer: httpx.Response = wait_until(attempt, 60, "an answer")
    return answer


def _version(document: dict[str, Any]) -> int:
    return int(document["text"].split("version")[1].split(" ")[0])


def _half(client: httpx.Client, name: str, version: int, document: dict[str, Any]) -> list[str]:
    """All passages of the version and of no other must be found, by words and by meaning."""
    wrong = []
    if document["text"] != text_of(name, version):
        wrong.append(f"{name}: the text is not that of version {version}")
    for mode in ("words", "vectors"):
        body = {"query": f"The {name} page says version{version}", "top_k": 50, "mode": mode, "filter": {"name": name}}
        answer = _patiently(lambda body=body: client.post("/search", json=body))  # type: ignore[misc]
        hits = [hit for hit in answer.json()["hits"] if hit["document_id"] == name]
        if any(f"version{version} " not in hit["text"] for hit in hits):
            wrong.append(f"{name}: {mode} find another version than {version}")
        if not hits:
            wrong.append(f"{name}: {mode} find nothing of version {version}")
    return wrong


@dataclass
class Outcome:
    rounds: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    wrong: list[str] = field(default_factory=list)


def rounds(folder: Path, count: int, aimed: bool, seed: int) -> Outcome:
    chance, outcome = random.Random(seed), Outcome()
    fates = {f"doc{number:03}": Fate() for number in range(DOCUMENTS)}
    live = start(folder, **SETTINGS)
    try:
        for _ in range(count):
            _round(live, fates, chance, aimed, outcome)
            if live.process.poll() is not None:
                live = start(folder, **SETTINGS)
            drained = Drained()
            wait_until(lambda live=live, drained=drained: drained(live), 240, "all jobs end after the crash")  # type: ignore[misc]
            found = faults(live, fates)
            outcome.wrong += found
            outcome.rounds += 1
            outcome.damaged = len(list((folder / "data").glob("chroma.damaged-*")))
            print(outcome.rounds, dict(outcome.killed), "damaged" if outcome.damaged else "", found[:3], flush=True)
    finally:
        if live.process.poll() is None:
            stop(live.process)
    return outcome


def _round(live: Live, fates: dict[str, Fate], chance: random.Random, aimed: bool, outcome: Outcome) -> None:
    mine = [dict(list(fates.items())[number::WRITERS]) for number in range(WRITERS)]
    writers = [Writer(live.url, part, chance.randrange(10**9)) for part in mine]
    for writer in writers:
        writer.start()
    if aimed:
        aim(live)
    else:
        writers[0].ended.wait(chance.uniform(0.1, LONGEST_S))
    outcome.killed[kill(live, chance, whole=aimed or chance.random() < 0.5)] += 1
    for writer in writers:
        writer.ended.set()
    for writer in writers:
        writer.join(60)
        outcome.operations += writer.done


def page(random_: Outcome, aimed: Outcome, took_s: float) -> str:
    def row(name: str, one: Outcome) -> str:
        killed = ", ".join(f"{what} {count}" for what, count in sorted(one.killed.items()))
        writes = ", ".join(f"{count} {what}s" for what, count in sorted(one.operations.items()))
        return f"| {name} | {one.rounds} | {killed} | {writes} | {len(one.wrong)} |"

    return f"""# Crashes

Made by `make crashes` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, in {took_s / 60:.0f} minutes. Three
writers add, replace and delete {DOCUMENTS} documents of {LINES} passages over HTTP while processes are killed with
SIGKILL; after the restart each document must be whole, in the version that was acknowledged last (or in one that was
under way), and findable by words and by meaning; what was deleted must be gone; passages and vectors must be equally
many. How: `benchmarks/crashes.py`.

| kills | rounds | what was killed | acknowledged writes | wrong states |
|---|---|---|---|---|
{row("at a random moment", random_)}
{row("while Chroma writes its index", aimed)}

The vector index was found damaged, put aside and made anew from the ledger in {_damaged(random_, aimed)}.
"""


def _damaged(*outcomes: Outcome) -> str:
    return "some of the rounds" if any(one.damaged for one in outcomes) else "none of the rounds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=50)
    parser.add_argument("--aimed", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the service is stopped too
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        by_chance = rounds(Path(folder) / "random", asked.random, False, asked.seed)
        by_aim = rounds(Path(folder) / "aimed", asked.aimed, True, asked.seed + 1)
    for fault in [*by_chance.wrong, *by_aim.wrong]:
        print("WRONG", fault)
    PAGE.write_text(page(by_chance, by_aim, time.monotonic() - began), encoding="utf-8")


if __name__ == "__main__":
    main()

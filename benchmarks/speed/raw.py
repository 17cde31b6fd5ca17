"""The engine alone, in a process of its own and without HTTP: what any server around it can reach at most.

Run as `python -m benchmarks.speed.raw ENGINE`: reads jobs as lines of JSON, answers each with a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from answerbox.adapters.generation.engine import Engine, Row
from benchmarks import processes
from benchmarks.speed.gguf import GENERATOR


@dataclass
class Timing:
    """One request: when it was given to the engine and when each token came, seconds since the run began."""

    started: float
    ended: float = 0.0
    times: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


class RawEngine(Protocol):
    def run(self, prompts: list[list[int]], max_tokens: int, concurrency: int) -> list[Timing]:
        """Generates greedily after each prompt, `concurrency` at a time: one that has ended makes room for the next.

        `times` may be empty where the engine does not tell. End tokens count among `tokens`.
        """
        ...


def raw_engine() -> RawEngine:
    """The engine that Answerbox uses by default, with the default settings."""
    from answerbox.app import engine_spec
    from answerbox.settings import Settings

    return Stepping(engine_spec(Settings()).build())


def gpu_engine() -> RawEngine:
    from benchmarks.speed.gpu import GenerateBatch

    return GenerateBatch()


ENGINES: dict[str, Callable[[], RawEngine]] = {"answerbox": raw_engine, "generate_batch": gpu_engine}


class Stepping:
    """Drives an `Engine` step by step. Who does not fit into its batch waits, as in a server."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def run(self, prompts: list[list[int]], max_tokens: int, concurrency: int) -> list[Timing]:
        began = time.perf_counter()
        asked = [0.0] * min(concurrency, len(prompts))  # when each request was made; another one at each end
        timings: list[Timing] = []
        running = 0
        while running or len(timings) < len(prompts):
            while running < self._engine.info.rows and len(timings) < min(len(asked), len(prompts)):
                self._engine.add(Row(len(timings), prompts[len(timings)], max_tokens))
                timings.append(Timing(asked[len(timings)]))
                running += 1
            made = self._engine.step()
            now = time.perf_counter() - began
            for row in made:
                timing = timings[row.id]
                timing.tokens += row.tokens
                timing.times += [now] * len(row.tokens)
                if row.ended:
                    timing.ended = now
                    asked.append(now)
                    running -= 1
        return timings


def serve(engine: RawEngine) -> None:
    """Jobs from standard input, results to standard output; what libraries print goes to standard error."""
    from transformers import AutoTokenizer

    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    _tell(results, {"ready": True})
    for line in sys.stdin:
        job = json.loads(line)
        prompts = [
            list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
            for messages in job["prompts"]
        ]
        timings = engine.run(prompts, job["max_tokens"], job["concurrency"])
        texts = tokenizer.batch_decode([timing.tokens for timing in timings], skip_special_tokens=True)
        rows = zip(timings, prompts, texts, strict=True)
        _tell(
            results,
            {"answers": [{**asdict(t), "prompt_tokens": len(prompt), "text": text} for t, prompt, text in rows]},
        )


def model_folder() -> Path:
    from answerbox.adapters import model_store

    return model_store.find(GENERATOR).path


def _tell(results: Any, what: dict[str, Any]) -> None:
    results.write(json.dumps(what) + "\n")
    results.flush()


class RawProcess:
    """That process, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, messages: Sequence[list[dict[str, str]]], max_tokens: int, concurrency: int) -> list[dict[str, Any]]:
        job = {"prompts": list(messages), "max_tokens": max_tokens, "concurrency": concurrency}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = self.hear()["answers"]
        return answers

    def hear(self) -> dict[str, Any]:
        """Raises: AssertionError where the process has ended."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise AssertionError(f"the raw engine ended: {' '.join(last)}")
        return dict(json.loads(line))


@contextlib.contextmanager
def raw_process(engine: str, log: Path) -> Iterator[RawProcess]:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.raw", engine],
            cwd=processes.ROOT,
            env=processes.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
        )
    try:
        raw = RawProcess(process, log)
        raw.hear()
        yield raw
    finally:
        processes.stop(process)


if __name__ == "__main__":
    serve(ENGINES[sys.argv[1]]())

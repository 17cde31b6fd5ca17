"""The systems that are measured: how each is started, what it is, and one block of work for it."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.live import serving
from tokenizers import Tokenizer

from benchmarks import machine, processes
from benchmarks.percentiles import Spread
from benchmarks.prompts import Prompt
from benchmarks.speed import dialects, gguf
from benchmarks.speed.load import Counter, Measured, measure
from benchmarks.speed.raw import RawProcess, model_folder, raw_process
from benchmarks.speed.results import HEAD_CHARS, Answer, SystemInfo

BENCH_PYTHON = processes.ROOT / ".venv-bench" / "bin" / "python"
CONTEXT_TOKENS = 2048
PEERS = "benchmarks.speed.peers"
KINDS = {"model.safetensors": "float32", "model.q8_0.gguf": "GGUF, Q8_0"}


class Runner(Protocol):
    """A system that has been started."""

    @property
    def pid(self) -> int: ...

    def block(self, prompts: Sequence[Prompt], concurrency: int, max_tokens: int, limit_s: float) -> Measured: ...


@dataclass(frozen=True)
class System:
    info: SystemInfo
    start: Callable[[Path], AbstractContextManager[Runner]]


@dataclass(frozen=True)
class HttpRunner:
    url: str
    pid: int
    dialect: dialects.Dialect
    count: Counter

    def block(self, prompts: Sequence[Prompt], concurrency: int, max_tokens: int, limit_s: float) -> Measured:
        return measure(self.url, self.dialect, prompts, concurrency, max_tokens, limit_s, self.count)


class RawRunner:
    def __init__(self, process: RawProcess, count: Counter) -> None:
        self._process = process
        self._count = count

    @property
    def pid(self) -> int:
        return self._process.pid

    def block(self, prompts: Sequence[Prompt], concurrency: int, max_tokens: int, limit_s: float) -> Measured:
        del limit_s  # it has no slow peers to wait for
        heard = self._process.run([prompt.messages for prompt in prompts], max_tokens, concurrency)
        pauses = [after - before for one in heard for before, after in itertools.pairwise(one["times"])]
        answers = [
            Answer(
                prompt=prompt.number,
                started=one["started"],
                ended=one["ended"],
                first=one["times"][0] if one["times"] else None,
                last=one["times"][-1] if one["times"] else None,
                prompt_tokens=one["prompt_tokens"],
                reported=len(one["tokens"]),
                counted=self._count(one["text"]),
                head=one["text"][:HEAD_CHARS],
            )
            for prompt, one in zip(prompts, heard, strict=True)
        ]
        return Measured(max(answer.ended for answer in answers), answers, Spread.of(pauses))


def systems(gpu: bool = False) -> list[System]:
    """Raises: ModelMissing where the embedded model is not in the store."""
    folder = model_folder()
    full = folder / "model.safetensors"
    small = folder / "model.q8_0.gguf"
    served = full if gpu or not small.exists() else small
    transformers_serve = System(
        _info(
            "e",
            "`transformers serve`",
            full,
            "`transformers serve --continuous-batching`, its defaults otherwise: a paged cache, prompts and answers "
            "of all requests in one batch.",
        ),
        functools.partial(_transformers_serve, folder),
    )
    answerbox = System(
        _info("a", "Answerbox", served, "The service with its default settings, over HTTP: `POST /llm_query/stream`."),
        _answerbox,
    )
    if gpu:
        batch = System(
            _info("g", "`generate_batch`", full, "transformers' continuous batching in a process, without HTTP."),
            functools.partial(_raw, "generate_batch"),
        )
        return [answerbox, transformers_serve, batch]
    weights = gguf.ensure()
    return [
        answerbox,
        System(
            _info("b", "raw engine", served, "Answerbox's engine in a process of its own, without HTTP: the limit."),
            functools.partial(_raw, "answerbox"),
        ),
        System(
            _info(
                "c",
                "hand-written FastAPI",
                full,
                "`model.generate` of transformers under a lock, streamed: what an engineer would write first.",
            ),
            functools.partial(_peer, [f"{PEERS}.fastapi_server", str(folder)]),
        ),
        System(
            _info(
                "d",
                "LitServe",
                full,
                "`model.generate` for batches of up to 16, waiting 50 ms for one to fill, streamed. A batch is "
                "static: who comes later waits for its end, and who has ended for the longest.",
            ),
            functools.partial(_peer, [f"{PEERS}.litserve_server", str(folder)]),
        ),
        transformers_serve,
        System(
            _info(
                "f",
                "llama.cpp's server",
                weights,
                "`python -m llama_cpp.server` with as many threads as there are cores and `--interrupt_requests "
                "false` (by default a new request cuts off the one that runs). It answers one request at a time; the "
                "prompt's beginning that it shares with the one before is not read again.",
            ),
            functools.partial(_llama_cpp, weights),
        ),
    ]


def _info(key: str, title: str, weights: Path, about: str) -> SystemInfo:
    return SystemInfo(key, title, KINDS.get(weights.name, "GGUF, Q4_1"), weights.stat().st_size, about)


@contextlib.contextmanager
def _answerbox(folder: Path) -> Iterator[Runner]:
    with serving(folder / "answerbox", embedder_model="fake") as live:
        yield HttpRunner(live.url, live.process.pid, dialects.Answerbox(), _counter())


@contextlib.contextmanager
def _raw(engine: str, folder: Path) -> Iterator[Runner]:
    with raw_process(engine, folder / f"raw-{engine}.log") as process:
        yield RawRunner(process, _counter())


@contextlib.contextmanager
def _peer(arguments: list[str], folder: Path) -> Iterator[Runner]:
    command = [str(BENCH_PYTHON), "-m", *arguments, "{port}"]
    log = folder / f"{arguments[0]}.log"
    with processes.http_server(command, log, "/health", processes.environment()) as (url, pid):
        yield HttpRunner(url, pid, dialects.Lines(), _counter())


@contextlib.contextmanager
def _transformers_serve(model: Path, folder: Path) -> Iterator[Runner]:
    program = str(BENCH_PYTHON.with_name("transformers"))
    command = [program, "serve", "--continuous-batching", "--host", "127.0.0.1", "--port", "{port}", str(model)]
    log = folder / "transformers-serve.log"
    with processes.http_server(command, log, "/health", processes.environment()) as (url, pid):
        yield HttpRunner(url, pid, dialects.OpenAi(str(model)), _counter())


@contextlib.contextmanager
def _llama_cpp(weights: Path, folder: Path) -> Iterator[Runner]:
    options = {
        "model": str(weights),
        "model_alias": "gguf",
        "host": "127.0.0.1",
        "port": "{port}",
        "n_ctx": str(CONTEXT_TOKENS),
        "n_threads": str(machine.cores()),
        "n_threads_batch": str(machine.cores()),
        "interrupt_requests": "false",
        "verbose": "false",
    }
    command = [str(BENCH_PYTHON), "-m", "llama_cpp.server"]
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    log = folder / "llama-cpp.log"
    with processes.http_server(command, log, "/v1/models", processes.environment()) as (url, pid):
        yield HttpRunner(url, pid, dialects.OpenAi("gguf"), _counter())


@functools.cache
def _counter() -> Counter:
    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def warm_up(runner: Runner, prompts: Sequence[Prompt], max_tokens: int) -> None:
    """Raises: AssertionError where no answer was right."""
    measured = runner.block(prompts, min(4, len(prompts)), max_tokens, limit_s=600)
    errors = [answer.error for answer in measured.answers if answer.error]
    if len(errors) == len(measured.answers):
        raise AssertionError(f"it does not answer: {errors[0]}")

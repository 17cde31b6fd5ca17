"""What a run measured, as it stands in docs/benchmarks/*.json; and the figures that are made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from benchmarks.percentiles import Spread, median

HEAD_CHARS = 20


@dataclass(frozen=True)
class Answer:
    """One request. Times are seconds since the block began; `first` and `last`: when text came.

    `counted`: the text in the model's tokens, on which the figures rest. `reported`: what the server counts, the end
    token perhaps too; 0 where it does not tell.
    """

    prompt: int
    started: float
    ended: float
    first: float | None = None
    last: float | None = None
    prompt_tokens: int = 0
    reported: int = 0
    counted: int = 0
    head: str = ""
    error: str | None = None

    @property
    def to_first(self) -> float:
        return math.nan if self.first is None else self.first - self.started

    @property
    def between(self) -> float:
        """Mean time between two tokens of this answer."""
        if self.first is None or self.last is None or self.counted < 2 or self.last <= self.first:
            return math.nan
        return (self.last - self.first) / (self.counted - 1)


@dataclass(frozen=True)
class Block:
    """One system at one concurrency in one round. `pauses`: between two arrivals of text, over all answers.

    `others_cpu`: processors that were busy just before it began; `load_cpu`: those that the measuring took.
    """

    system: str
    concurrency: int
    round: int
    wall_s: float
    answers: list[Answer]
    pauses: Spread
    server_cpu: float
    load_cpu: float
    others_cpu: float

    @property
    def good(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.error is None]

    @property
    def tokens_per_s(self) -> float:
        return sum(answer.counted for answer in self.good) / self.wall_s


@dataclass(frozen=True)
class SystemInfo:
    key: str
    title: str
    weights: str
    weights_bytes: int
    about: str


@dataclass(frozen=True)
class Overhead:
    """A gateway without a model at one concurrency, medians over the rounds; `cpu_ms`: processor time a request."""

    name: str
    concurrency: int
    p50_ms: float
    p95_ms: float
    per_s: float
    cpu_ms: float


@dataclass(frozen=True)
class Run:
    made: str
    machine: str
    versions: dict[str, dict[str, str]]
    tokens: int
    rounds: int
    seconds: float
    systems: list[SystemInfo]
    blocks: list[Block]
    failures: dict[str, str] = field(default_factory=dict)
    bandwidth: dict[str, float] = field(default_factory=dict)
    gateway: list[Overhead] = field(default_factory=list)

    def levels(self) -> list[int]:
        return sorted({block.concurrency for block in self.blocks})

    def of(self, system: str, concurrency: int) -> list[Block]:
        return [block for block in self.blocks if (block.system, block.concurrency) == (system, concurrency)]

    def figures(self, system: str, concurrency: int) -> Figures | None:
        blocks = self.of(system, concurrency)
        return Figures.of(blocks) if blocks else None

    def save(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_JSON.dump_json(self) + b"\n")

    @staticmethod
    def load(file: Path) -> Run:
        return _JSON.validate_json(file.read_bytes())


@dataclass(frozen=True)
class Figures:
    """Of one system at one concurrency: each is the median over the rounds."""

    tokens_per_s: float
    slowest: float
    fastest: float
    answers_per_s: float
    to_first: Spread
    between: Spread
    pause_p99: float
    server_cpu: float
    answers: int
    errors: int

    @staticmethod
    def of(blocks: list[Block]) -> Figures:
        speeds = [block.tokens_per_s for block in blocks]

        def spread(value: Callable[[Answer], float]) -> Spread:
            return Spread.medians([Spread.of(_numbers(map(value, block.good))) for block in blocks])

        return Figures(
            tokens_per_s=median(speeds),
            slowest=min(speeds),
            fastest=max(speeds),
            answers_per_s=median(len(block.good) / block.wall_s for block in blocks),
            to_first=spread(lambda answer: answer.to_first),
            between=spread(lambda answer: answer.between),
            pause_p99=median(block.pauses.p99 for block in blocks),
            server_cpu=median(block.server_cpu for block in blocks),
            answers=sum(len(block.good) for block in blocks),
            errors=sum(len(block.answers) - len(block.good) for block in blocks),
        )


@dataclass(frozen=True)
class Bar:
    """A ratio that is wanted: at least `bar`, or with `at_most` at most that."""

    name: str
    concurrency: int
    over: str
    under: str
    bar: float
    at_most: bool = False

    def value(self, run: Run) -> float:
        over = run.figures(self.over, self.concurrency)
        under = run.figures(self.under, self.concurrency)
        if over is None or under is None:
            return math.nan
        if self.at_most:
            return over.to_first.p95 / under.to_first.p95
        return over.tokens_per_s / under.tokens_per_s if under.tokens_per_s else math.nan

    def met(self, value: float) -> bool:
        return value <= self.bar if self.at_most else value >= self.bar


BARS = (
    Bar("a/b throughput", 16, "a", "b", 0.9),
    Bar("a/c throughput", 16, "a", "c", 6),
    Bar("a/c throughput", 1, "a", "c", 1),
    Bar("a/d throughput", 16, "a", "d", 1.5),
    Bar("a/e throughput", 16, "a", "e", 2),
    Bar("a/f throughput", 16, "a", "f", 1.5),
    Bar("a/f throughput", 1, "a", "f", 0.5),
    Bar("a/c time to first token, p95", 16, "a", "c", 0.25, at_most=True),
)


def alike(run: Run, system: str, other: str) -> tuple[float, int]:
    """Share of the prompts answered by both whose answers begin with the same characters, and how many there were."""
    heads = {key: _heads(run, key) for key in (system, other)}
    both = heads[system].keys() & heads[other].keys()
    same = sum(heads[system][number] == heads[other][number] for number in both)
    return (same / len(both) if both else math.nan), len(both)


def counts(run: Run, system: str) -> tuple[int, int]:
    """Tokens as the server reports them, and as the model's tokenizer counts the text that came."""
    good = [answer for block in run.blocks if block.system == system for answer in block.good]
    return sum(answer.reported for answer in good), sum(answer.counted for answer in good)


def _heads(run: Run, system: str) -> dict[int, str]:
    return {answer.prompt: answer.head for block in run.blocks if block.system == system for answer in block.good}


def _numbers(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


_JSON = TypeAdapter(Run)

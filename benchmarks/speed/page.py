"""From a run to docs/benchmarks.md and its plot."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.percentiles import Spread, median
from benchmarks.speed.results import BARS, Run, SystemInfo, alike, counts
from benchmarks.speed.systems import BENCH_PYTHON

DOCS = processes.ROOT / "docs"
REFERENCES = ("c", "e")


@dataclass(frozen=True)
class Files:
    page: Path
    raw: Path
    plot: Path

    def inside(self, folder: Path) -> Files:
        """All of them in another folder."""
        folder = folder.resolve()
        return Files(folder / self.page.name, folder / self.raw.name, folder / self.plot.name)

    def link(self, file: Path) -> str:
        """From the page."""
        return os.path.relpath(file, self.page.parent)

    @staticmethod
    def of(name: str) -> Files:
        folder = DOCS / "benchmarks"
        return Files(DOCS / f"{name}.md", folder / f"{name}.json", folder / f"{name}.svg")


CPU = Files.of("benchmarks")
GPU = Files.of("benchmarks-gpu")


def write(run: Run, files: Files) -> None:
    draw(run, files.plot)
    gpu = files == GPU
    parts = [
        f"# {'Benchmarks on a GPU' if gpu else 'Benchmarks'}",
        _intro(run, files),
        *([] if gpu else ["## What is wanted", _bars(run)]),
        f"![Throughput and time to first token by concurrency]({files.link(files.plot)})",
        "## The figures",
        *[_level(run, level) for level in run.levels()],
        *([_limit(run)] if run.bandwidth else []),
        *([_gateway(run)] if run.gateway else []),
        "## How it is measured",
        _how(run),
        *([] if gpu else ["## On a GPU", _gpu()]),
    ]
    files.page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _intro(run: Run, files: Files) -> str:
    command = "`.venv/bin/python -m benchmarks.speed --gpu`" if files == GPU else "`make bench`"
    versions = "; ".join(
        f"{where}: " + ", ".join(f"{name} {version}" for name, version in found.items())
        for where, found in run.versions.items()
    )
    failures = "".join(f"\n\n**Not measured: {key}.** {why}" for key, why in run.failures.items())
    return (
        f"Made by {command} on {run.made}, in {run.seconds / 60:.0f} minutes. Machine: {run.machine}.\n\n"
        f"Versions. {versions}.\n\n"
        f"Every raw number: [{files.raw.name}]({files.link(files.raw)}).{failures}"
    )


def _bars(run: Run) -> str:
    rows = []
    for bar in BARS:
        value = bar.value(run)
        wanted = f"{'≤' if bar.at_most else '≥'} {bar.bar:g}"
        verdict = "not measured" if math.isnan(value) else "met" if bar.met(value) else "**not met**"
        rows.append([bar.name, str(bar.concurrency), _number(value), wanted, verdict])
    return table(["ratio", "at", "measured", "bar", ""], rows)


def _level(run: Run, level: int) -> str:
    rows = []
    for system in run.systems:
        figures = run.figures(system.key, level)
        if figures is None:
            rows.append([_name(system), *["–"] * 7])
            continue
        errors = f", {figures.errors} failed" if figures.errors else ""
        rows.append(
            [
                _name(system),
                f"{figures.tokens_per_s:.0f} ({figures.slowest:.0f}–{figures.fastest:.0f})",
                _number(figures.answers_per_s),
                _ms(figures.to_first),
                _ms(figures.between),
                "–" if math.isnan(figures.pause_p99) else f"{figures.pause_p99 * 1000:.0f}",
                f"{figures.server_cpu:.1f}",
                f"{figures.answers}{errors}",
            ]
        )
    head = [
        "",
        "tokens/s (min–max)",
        "answers/s",
        "to first token, ms",
        "between tokens, ms",
        "pause p99, ms",
        "cores",
        "answers",
    ]
    return f"### {level} at a time\n\n" + table(head, rows)


def _limit(run: Run) -> str:
    best = max(run.bandwidth.values())
    by_threads = ", ".join(f"{speed:.1f} GB/s with {threads}" for threads, speed in run.bandwidth.items())
    rows = []
    for system in run.systems:
        limit = best * 1e9 / system.weights_bytes
        figures = run.figures(system.key, 1)
        speed = 1 / figures.between.p50 if figures else math.nan
        rows.append(
            [
                _name(system),
                system.weights,
                f"{system.weights_bytes / 1e6:.0f}",
                f"{limit:.0f}",
                _number(speed),
                f"{speed / limit:.0%}" if speed == speed else "–",
            ]
        )
    return (
        "## The physical limit\n\n"
        "One request at a time makes a token only after all weights were read. Measured memory bandwidth (a sum over "
        f"1 GiB, median): {by_threads} threads. Tokens per second while an answer is written, at one request:\n\n"
        + table(["", "weights", "MB", "limit", "measured", "share"], rows)
    )


def _gateway(run: Run) -> str:
    rows = []
    for one in run.gateway:
        times = [f"{value:.2f}" for value in (one.p50_ms, one.p95_ms)]
        rows.append([one.name, str(one.concurrency), *times, f"{one.per_s:.0f}", f"{one.cpu_ms:.2f}"])
    head = ["", "at a time", "p50, ms", "p95, ms", "requests/s", "processor, ms a request"]
    return (
        "## The gateway alone\n\n"
        "`POST /llm_query` with a short question and the `fake` model, which answers at once: what validation, limits, "
        "metrics, the way to the process of the model and back cost. Beside it FastAPI with the same contract that "
        "answers by itself.\n\n" + table(head, rows)
    )


HOW = """\
{about}

All of them have the same weights (SmolLM2-135M-Instruct; the GGUF files hold them in fewer bits, the float32 file is
made of the Q4_1 one) and get the same prompts: a passage of XQuAD and a question, {prompt:.0f} tokens in the mean, told
as Answerbox tells them, greedy, at most {tokens} new tokens. The passages are numbered, so that no two prompts begin
alike.

{turns} A round measures every concurrency, and at each every system. Rounds: {rounds}; **every figure is the median
over the rounds**, percentiles too: p50 / p95 / p99 of a round's answers, of which a slow system gives few. So many
readers ask at a time and ask again when an answer has ended; after some seconds no new question is asked, and what runs
is waited for. *tokens/s*: tokens of all answers by the time from the first question to the end of the last answer.
*between tokens*: mean of an answer, (last − first text) / (tokens − 1). *pause*: between two arrivals of text.
*cores*: processors that the server kept busy.

c, d and e compute in float32, as transformers does on a CPU: it reads a GGUF file only by making float32 of it. So they
read more bytes for a token than a and f. The server of f is that of the Python package; llama.cpp's own, which answers
several requests at a time, is no part of it. Answerbox runs with the `fake` embedder, which these requests do not use.

Tokens are those of the text that came, counted with the model's tokenizer for all systems alike, for some servers count
the end token, some do not, and llama.cpp's counts nothing in a stream. Counted by the servers / by us: {counts}.
{likeness}

The readers took {load:.2f} of a core at most. Just before a block other work on the machine took {others:.2f} cores
(median; {others_most:.2f} at most)."""
TURNS = "All servers run all the time; one works while the others wait, and they take turns."
ONE_AFTER_THE_OTHER = "One system runs at a time, for each wants the GPU's memory for itself."


def _how(run: Run) -> str:
    counted = []
    for system in run.systems:
        theirs, ours = counts(run, system.key)
        if ours:
            counted.append(f"{system.key} {theirs or '–'}/{ours}")
    others = [block.others_cpu for block in run.blocks]
    return HOW.format(
        about="\n".join(f"- {_name(system)} ({system.weights}): {system.about}" for system in run.systems),
        prompt=_prompt_tokens(run),
        tokens=run.tokens,
        rounds=_rounds(run),
        turns=TURNS if run.bandwidth else ONE_AFTER_THE_OTHER,
        counts=", ".join(counted),
        likeness=_likeness(run),
        load=max((block.load_cpu for block in run.blocks), default=math.nan),
        others=median(others),
        others_most=max(others, default=math.nan),
    )


def _likeness(run: Run) -> str:
    """How many answers begin as those of `c`; without it, as those of `e`."""
    keys = [system.key for system in run.systems]
    reference = next((key for key in REFERENCES if key in keys), "")
    found = {key: alike(run, key, reference) for key in keys if key != reference}
    shares = [f"{key} {share:.0%} of {count}" for key, (share, count) in found.items() if count]
    if not shares:
        return ""
    return (
        f"Answers whose first 20 characters are those of `{reference}`, which has the weights in float32: "
        f"{', '.join(shares)}. Each rounds the weights differently."
    )


def _gpu() -> str:
    if GPU.page.exists():
        return f"[{GPU.page.name}]({GPU.page.name})"
    return "This column is empty: no GPU was at hand. `.venv/bin/python -m benchmarks.speed --gpu` fills it."


def _prompt_tokens(run: Run) -> float:
    known = [answer.prompt_tokens for block in run.blocks for answer in block.good if answer.prompt_tokens]
    return sum(known) / len(known) if known else math.nan


def _name(system: SystemInfo) -> str:
    return f"{system.key}. {system.title}"


def _ms(spread: Spread) -> str:
    if math.isnan(spread.p50):
        return "–"
    return " / ".join(f"{value * 1000:.0f}" for value in (spread.p50, spread.p95, spread.p99))


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def draw(run: Run, target: Path) -> None:
    series = []
    for system in run.systems:
        known = {level: figures for level in run.levels() if (figures := run.figures(system.key, level))}
        series.append(
            {
                "key": system.key,
                "title": system.title.replace("`", ""),
                "levels": list(known),
                "tokens_per_s": [figures.tokens_per_s for figures in known.values()],
                "to_first_p95": [figures.to_first.p95 for figures in known.values()],
            }
        )
    with tempfile.TemporaryDirectory() as folder:
        figures_file = Path(folder) / "figures.json"
        figures_file.write_text(json.dumps([one for one in series if one["levels"]]), encoding="utf-8")
        subprocess.run(
            [str(BENCH_PYTHON), "-m", "benchmarks.speed.plot", str(figures_file), str(target)],
            cwd=processes.ROOT,
            check=True,
            timeout=300,
        )


def _rounds(run: Run) -> str:
    """How many, and where there were fewer."""
    fewer = [
        f"{count} of {concurrency} at a time"
        for concurrency in sorted({block.concurrency for block in run.blocks})
        if (count := len({b.round for b in run.blocks if b.concurrency == concurrency})) < run.rounds
    ]
    return f"{run.rounds} ({', '.join(fewer)})" if fewer else str(run.rounds)

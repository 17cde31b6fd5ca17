"""Measures the systems beside each other. `--help` tells the options; `page.py` what becomes of the numbers."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from tests.conftest import XQUAD

from benchmarks import machine, processes
from benchmarks.prompts import prompt
from benchmarks.speed import bandwidth, gateway, gpu, page
from benchmarks.speed.results import Block, Run, SystemInfo
from benchmarks.speed.systems import BENCH_PYTHON, Runner, System, systems, warm_up

REQUESTS = {1: 6, 4: 12, 16: 32, 64: 96}
"""Of a block, at each concurrency. Who is slow gets fewer: after the limit of time no more are begun."""

WARM_UP_FROM = 100_000
PACKAGES = {
    "Answerbox": ("answerbox", "bentoml", "openvino-genai", "openvino-tokenizers", "transformers", "torch", "aiohttp"),
    "peers": ("fastapi", "uvicorn", "litserve", "llama_cpp_python", "transformers", "torch", "tokenizers"),
}


def main() -> int:
    processes.stop_on_sigterm()
    options = parse()
    files = page.GPU if options.gpu else page.CPU
    if options.out:
        files = files.inside(Path(options.out))
    if options.render:
        page.write(Run.load(files.raw), files)
        return 0
    if options.gpu and not gpu.cuda():
        print("benchmarks: there is no CUDA GPU on this machine, so --gpu measures nothing.")
        return 2
    if not BENCH_PYTHON.exists() or not XQUAD.is_dir():
        print(f"benchmarks: there must be .venv-bench (benchmarks/setup makes it) and {XQUAD} (or ANSWERBOX_XQUAD).")
        return 2
    run = measure(options)
    run.save(files.raw)
    page.write(run, files)
    print(f"benchmarks: {files.page} after {run.seconds / 60:.1f} minutes")
    return 0


def measure(options: argparse.Namespace) -> Run:
    chosen = [system for system in systems(options.gpu) if not options.systems or system.info.key in options.systems]
    # On a GPU each server wants the whole memory for itself, so there they come one after the other.
    groups = [[system] for system in chosen] if options.gpu else [chosen]
    whole = not options.gpu and not options.systems
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="answerbox-bench-") as name:
        session = Session(options, Path(name))
        for group in groups:
            session.measure(group)
        overheads = gateway.overheads(Path(name), options.rounds) if whole else []
    return Run(
        made=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine.description() + (f", {gpu.cuda()}" if options.gpu else ""),
        versions={
            where: machine.versions(Path(sys.executable) if where == "Answerbox" else BENCH_PYTHON, names)
            for where, names in PACKAGES.items()
        },
        tokens=options.tokens,
        rounds=options.rounds,
        seconds=time.monotonic() - began,
        systems=[system.info for system in chosen],
        blocks=session.blocks,
        failures=session.failures,
        bandwidth={} if options.gpu else bandwidth.measured(),
        gateway=overheads,
    )


MANY = 64
"""A server that answers one request at a time needs two minutes for a round of so many."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--many-rounds", type=int, default=2, help=f"of {MANY} at a time and more, which take minutes")
    parser.add_argument("--systems", type=lambda text: text.split(","), default=[], help="letters, as in a,c,f")
    parser.add_argument(
        "--concurrency", type=lambda text: [int(part) for part in text.split(",")], default=list(REQUESTS)
    )
    parser.add_argument("--tokens", type=int, default=64, help="longest answer")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a block after which none is begun")
    parser.add_argument("--gpu", action="store_true", help="the systems for a GPU, into docs/benchmarks-gpu.md")
    parser.add_argument("--out", help="another folder for page, plot and numbers")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page anew")
    return parser.parse_args()


class Session:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self.blocks: list[Block] = []
        self.failures: dict[str, str] = {}

    def measure(self, group: Sequence[System]) -> None:
        """Starts all systems of the group; those that start are measured in turn, round by round."""
        with contextlib.ExitStack() as stack:
            runners: list[tuple[SystemInfo, Runner]] = []
            for system in group:
                if runner := self._start(system, stack):
                    runners.append((system.info, runner))
            first = 0
            for round_ in range(self._options.rounds):
                turned = runners[round_ % len(runners) :] + runners[: round_ % len(runners)] if runners else []
                for concurrency in self._options.concurrency:
                    if concurrency >= MANY and round_ >= self._options.many_rounds:
                        continue
                    for info, runner in turned:
                        self._block(info, runner, round_, concurrency, first)
                    first += requests(concurrency)

    def _start(self, system: System, stack: contextlib.ExitStack) -> Runner | None:
        """A system that does not start is told in the page, and the others are measured."""
        info = system.info
        print(f"benchmarks: starting {info.key}, {info.title}", flush=True)
        try:
            with contextlib.ExitStack() as own:
                runner = own.enter_context(system.start(self._folder))
                warm_up(runner, [prompt(WARM_UP_FROM + number) for number in range(8)], self._options.tokens)
                stack.push(own.pop_all())
                return runner
        except (AssertionError, OSError) as exc:
            self._left_out(info, exc)
            return None

    def _left_out(self, info: SystemInfo, why: Exception) -> None:
        self.failures[info.key] = str(why).strip().splitlines()[-1][:300]
        print(f"benchmarks: {info.key} is left out: {why}", flush=True)

    def _block(self, info: SystemInfo, runner: Runner, round_: int, concurrency: int, first: int) -> None:
        if info.key in self.failures:
            return
        prompts = [prompt(number) for number in range(first, first + requests(concurrency))]
        others = psutil.cpu_percent(0.3) / 100 * (psutil.cpu_count() or 1)
        server, load = processes.cpu_seconds(runner.pid), time.process_time()
        try:
            measured = runner.block(prompts, concurrency, self._options.tokens, self._options.limit)
        except (AssertionError, OSError) as exc:
            self._left_out(info, exc)
            return
        server, load = processes.cpu_seconds(runner.pid) - server, time.process_time() - load
        block = Block(
            system=info.key,
            concurrency=concurrency,
            round=round_,
            wall_s=measured.wall_s,
            answers=measured.answers,
            pauses=measured.pauses,
            server_cpu=server / measured.wall_s,
            load_cpu=load / measured.wall_s,
            others_cpu=others,
        )
        self.blocks.append(block)
        errors = sorted({answer.error for answer in block.answers if answer.error})
        print(
            f"round {round_ + 1}, {concurrency:2} at a time, {info.key}: {block.tokens_per_s:6.1f} tokens/s, "
            f"{len(block.good)} answers in {block.wall_s:.1f} s {'; '.join(itertools.islice(errors, 3))}",
            flush=True,
        )


def requests(concurrency: int) -> int:
    return REQUESTS.get(concurrency, 2 * concurrency)


if __name__ == "__main__":
    sys.exit(main())

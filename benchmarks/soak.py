"""Mixed traffic for a quarter of an hour: is every answer right, and does anything grow? Writes docs/soak.md.

A real service with the embedded models. `soak_traffic.py` says what its clients do and what each answer must be,
`soak_watch.py` looks at the processes. Ends with 1 where something is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.live import Live, serving

from answerbox import __version__
from benchmarks import machine, processes
from benchmarks.soak_bad import BAD
from benchmarks.soak_traffic import ANSWER_LIMIT_S, QUESTIONS, Client, Told, documents
from benchmarks.soak_watch import (
    EVERY_S,
    GROWTH,
    SLACK,
    STOOD_STILL_S,
    TOGETHER,
    Change,
    Samples,
    changes,
    longest_gap_s,
    replaced,
    watch,
)

CLIENTS = 6
SHOWN = 20
PAGE = processes.ROOT / "docs" / "soak.md"

Verdict = tuple[str, str, bool]
"""What is asked, what was found, whether that is as it must be."""


def soak(live: Live, warm_up_s: float, measured_s: float) -> tuple[Told, Samples]:
    live.index(documents())
    answers = reference(live)
    told, stop = Told(), threading.Event()
    clients = [Client(live, number, answers, told, stop) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    try:
        return told, watch(live.process.pid, warm_up_s + measured_s)
    finally:
        stop.set()
        for thread in threads:
            thread.join(ANSWER_LIMIT_S)


def reference(live: Live) -> Mapping[str, str]:
    """The answer to each question, asked alone."""
    answers = {}
    for question in QUESTIONS:
        response = live.post(question.path, question.body)
        assert response.status_code == 200, response.text
        answers[str(question)] = str(response.json()["answer"])
    return answers


def verdicts(told: Told, samples: Samples, rows: list[Change]) -> list[Verdict]:
    together = rows[-1]
    grown = [row.process for row in rows if not row.memory_is_flat]
    open_ = [row.process for row in rows if not row.descriptors_are_flat]
    busy = [row.process for row in rows if not row.threads_are_flat]
    again, gap_s = replaced(samples), longest_gap_s(samples)
    return [
        ("wrong answers", str(len(told.wrong)), not told.wrong),
        ("unexplained 5xx and broken connections", str(len(told.failed)), not told.failed),
        ("processes that ended and were started again", ", ".join(again) or "none", not again),
        ("longest time between two looks at the processes", f"{gap_s:.0f} s", gap_s <= STOOD_STILL_S),
        (f"memory, all processes: at most {GROWTH:.0%} more", f"{together.growth:+.1%}", together.memory_is_flat),
        (f"memory, each process: at most {GROWTH:.0%} more", _but(grown), not grown),
        (f"descriptors, each process: at most {SLACK} more", _but(open_), not open_),
        (f"threads, each process: at most {SLACK} more", _but(busy), not busy),
    ]


def _but(names: list[str]) -> str:
    single = [name for name in names if name != TOGETHER]
    return f"not {', '.join(single)}" if single else "all"


def page(told: Told, judged: list[Verdict], rows: list[Change], minutes: float, warm_up: float) -> str:
    counts = told.counts
    failed = [f"- {what}: {found}" for what, found, right in judged if not right]
    faults = [f"- {text}" for text in [*told.failed, *told.wrong][:SHOWN]]
    verdict = "Everything is as it must be." if not failed else "\n".join(["**Not as it must be:**\n", *failed])
    return f"""# Soak

Made by `make soak` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {machine.description()}.
{CLIENTS} clients for {minutes:g} minutes after {warm_up:g} of warm-up; the embedded models, an index in a folder.
Of ten requests seven are good, two are bad and one is aborted. Of the good ones a third are answers (to the model, and
from documents, in English and Russian), a quarter their streams, a quarter searches; the rest puts a document in,
replaces and deletes it, or asks the probes. {len(BAD)} kinds of bad requests break the contract, the JSON, the limits,
the path or the method. Aborted are streams after some lines, answers, and uploads in the middle.

A wrong answer is one that is not, word for word, what the same service answered to the same question alone in the
beginning (greedily, or with a seed); one that is not from the right document; a search that does not find the document
with the word, or finds a text that was replaced or deleted; a bad request with another status or `code` than its own.

{verdict}

| | |
|---|---|
| good requests | {counts["good"]} |
| bad requests, each refused as it must be | {counts["bad"]} |
| aborted requests | {counts["aborted"]} |
| refused for load (503, `overloaded`, `Retry-After`) | {counts["refused"]} |
{_lines(f"| {what} | {found} |" for what, found, _ in judged)}
{"".join(f"{chr(10)}{line}" for line in faults)}{chr(10) if faults else ""}
Medians of the first minute after the warm-up and of the last one, looked at every {EVERY_S:.0f} s. Memory is what is
resident; in brackets what is left when shared pages are split between those that share them.

| process | memory, MB | at the end, MB | change | descriptors | threads |
|---|---|---|---|---|---|
{_lines(map(_line, rows))}
"""


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _line(row: Change) -> str:
    before, after = row.before, row.after
    return (
        f"| {row.process} | {before.rss / 1e6:.0f} ({before.pss / 1e6:.0f}) | {after.rss / 1e6:.0f} "
        f"({after.pss / 1e6:.0f}) | {row.growth:+.1%} | {before.descriptors:g} → {after.descriptors:g} | "
        f"{before.threads:g} → {after.threads:g} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--warm-up", type=float, default=3.0, help="minutes before them")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--samples", type=Path, help="a file for every sample, as JSON")
    options = parser.parse_args()
    processes.stop_on_sigterm()
    warm_up_s, measured_s = options.warm_up * 60, options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="answerbox-soak-") as folder, serving(Path(folder)) as live:
        told, samples = soak(live, warm_up_s, measured_s)
    if options.samples:
        every = {name: [asdict(one) for one in ones] for name, ones in samples.items()}
        options.samples.write_text(json.dumps(every), encoding="utf-8")
    rows = changes(samples, warm_up_s, warm_up_s + measured_s)
    judged = verdicts(told, samples, rows)
    text = page(told, judged, rows, options.minutes, options.warm_up)
    options.page.write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(right for _, _, right in judged) else 1


if __name__ == "__main__":
    sys.exit(main())

"""The last section of docs/image.md: what was seen of the image."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from answerbox import __version__
from benchmarks.image_engine import Engine, Stopped
from benchmarks.machine import description

HEADING = "## What was seen"
LARGEST = 10
CONTENTS = """cd /opt/answerbox/venv/lib/python3*/site-packages
du -sm /usr /opt/answerbox/venv /models /opt/answerbox/bento
du -sm -- * | sort -rn"""
PLACES = {
    "/usr": "Debian and Python, the base",
    "/opt/answerbox/venv": "Python packages",
    "/models": "the models",
    "/opt/answerbox/bento": "Answerbox, as the Bento has it",
}


@dataclass(frozen=True)
class Started:
    """`memory`: MB of PSS, by kind of process, after the answers."""

    ready_s: float
    answer_s: float
    memory: dict[str, float]
    stopped: Stopped


def section(image: Engine, runs: list[Started]) -> str:
    """`runs`: with a new volume, and with the same one again."""
    rows = (line.split("\t") for line in image.look("sh", "-c", CONTENTS).splitlines())
    sizes = {name: int(megabytes) for megabytes, name in rows}
    packages = [f"{name} {megabytes}" for name, megabytes in sizes.items() if not name.startswith("/")]
    places = "\n".join(f"| `{place}` | {words} | {sizes[place]} |" for place, words in PLACES.items())
    table = "\n".join(
        f"| {volume} | {run.ready_s:.0f} s | {run.answer_s:.2f} s | {sum(run.memory.values()):.0f} MB "
        f"| {run.stopped.exit_code} after {run.stopped.seconds:.1f} s | {len(run.stopped.written)} |"
        for volume, run in zip(("new", "the same again"), runs, strict=True)
    )
    memory = ", ".join(f"{name} {size:.0f}" for name, size in sorted(runs[0].memory.items(), key=lambda row: -row[1]))
    return f"""{HEADING}

Made by `make image-run` on {datetime.now(UTC):%Y-%m-%d}, Answerbox {__version__}, {description()}, with {image.name}.
Size: {image.size()}, not compressed.

| layer | | MB |
|---|---|---|
{places}

The largest packages, MB: {", ".join(packages[:LARGEST])}.

| volume | ready | first answer | memory (PSS) | SIGTERM: exit code | written outside `/data` and `/tmp` |
|---|---|---|---|---|---|
{table}

Memory by process, MB: {memory}. The root file system was {image.root}. First a question without a key (401),
one with it and a document; the second start, with the same volume, answers from that document.

Not tried: {image.not_tried}`DEVICE=cuda`, `MODELS=mounted`, other processors than x86-64.
"""

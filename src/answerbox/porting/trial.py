"""A written package, tried: in a process of its own with a limit on time, as the service would use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from answerbox.porting.examples import differences
from answerbox.porting.findings import Finding, error, warning
from answerbox.porting.package import EXAMPLES, Package

SLOW_IMPORT_S = 30.0
SLOW_ANSWER_S = 60.0
CHILD = "answerbox.porting.trial_child"
TAIL = 2_000


def try_package(package: Package, limit_s: float) -> list[Finding]:
    """Imports it, makes the example calls, and looks at what comes: no finding, it works."""
    with tempfile.TemporaryDirectory() as scratch:
        told = Path(scratch) / "told.jsonl"
        ended = _run(package, told, limit_s)
        rows = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()] if told.exists() else []
    return [*_of_import(rows, ended, limit_s), *_of_answers(package, rows, limit_s)]


def _run(package: Package, told: Path, limit_s: float) -> str | None:
    """The last words of the process; None where it did not end in time."""
    source = (package.folder / "src").resolve()
    path = os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", CHILD, package.name, str((package.folder / EXAMPLES).resolve()), str(told)]
    try:
        done = subprocess.run(
            command,
            cwd=told.parent,  # so that a path which is relative to the notebook fails, as it will in the service
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stderr[-TAIL:].strip()


def _of_import(rows: list[dict[str, Any]], ended: str | None, limit_s: float) -> Iterator[Finding]:
    if not rows:
        why = f"it did not end within {limit_s:.0f} s" if ended is None else ended.rpartition("\n")[2]
        yield error(
            "import", f"The package cannot be imported: {why}.", "Run its cells in a fresh kernel, top to bottom."
        )
    elif rows[0]["error"]:
        hint = "Run its cells in a fresh kernel, top to bottom."
        yield error("import", f"The package cannot be imported: {rows[0]['error']}.", hint)
    elif rows[0]["seconds"] > SLOW_IMPORT_S:
        hint = "Prepare what takes long once, and keep it in a file."
        yield warning("slow_import", f"The import took {rows[0]['seconds']:.0f} s, and each start does.", hint)


def _of_answers(package: Package, rows: list[dict[str, Any]], limit_s: float) -> Iterator[Finding]:
    if not rows or rows[0]["error"]:
        return
    answers = rows[1:]
    for number, row in enumerate(answers, 1):
        hint = "Make the call in a fresh kernel, and put `run_model` right."
        if row["error"]:
            yield error("answer", f"Example {number} failed: {row['error']}.", hint)
        elif row["seconds"] > SLOW_ANSWER_S:
            yield warning("slow_answer", f"Example {number} took {row['seconds']:.0f} s.", "A request may take 120 s.")
    for number, (example, row) in enumerate(zip(package.examples, answers, strict=False), 1):
        if not row["error"] and (found := differences(example.shape, row["response"])):
            hint = "Run the notebook anew, or take what changes from call to call out of the answer."
            yield warning("other_form", f"Example {number} answers otherwise now: {'; '.join(found)}.", hint)
    if len(answers) < len(package.examples):
        message = f"Example {len(answers) + 1} was not answered: the process ended, or {limit_s:.0f} s were over."
        yield error("answer", message, "Give it more time with --limit, or make it faster.")

"""Somebody else's notebooks: from the file to an answered request in one command, then a Bento that stands alone."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live import BIN, Live, Place, events, start, stop

FOREIGN = Path(__file__).parents[2] / "examples" / "port"
ANSWERBOX = [sys.executable, "-m", "answerbox.cli.main"]
LIMIT_S = 300


@dataclass(frozen=True)
class Case:
    name: str
    body: dict[str, Any]
    answer: str
    custom: dict[str, Any]
    pieces: int = 1
    """Of the answer, as the stream has it."""


CASES = (
    Case(
        "ticket_router",
        {"question": "The reset e-mail for my account never arrives", "parameters": {"top_k": 2}},
        "access",
        {"sure": True},
    ),
    Case(
        "spravochnik",
        {"question": "Кто блокирует потерянный пропуск?", "parameters": {"top_k": 1}},
        "Потерянный пропуск блокирует охрана по телефону 1122. ",
        {"sources": ["propusk/2"]},
        pieces=7,
    ),
    Case(
        "travel_agent",
        {"question": "What do we pay from 2026-05-01 to 2026-05-03 at 100 USD a night, in EUR?"},
        "2 nights cost 181.82 EUR.",
        {},
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_notebook_is_served_by_one_command_without_any_model(case: Case, tmp_path: Path) -> None:
    package = tmp_path / "package"
    (tmp_path / "home" / "models").mkdir(parents=True)  # there is none of Answerbox's own
    command = (*ANSWERBOX, "port", str(FOREIGN / f"{case.name}.ipynb"), "--out", str(package), "--serve")
    live = start(tmp_path, "", Place(command=command))
    try:
        _asks(live, case)
    finally:
        stop(live.process)
    assert live.process.returncode == 0
    done = _run([str(BIN / "pytest"), "-q", "-p", "no:cacheprovider"], package)
    assert done.returncode == 0, done.stdout[-3000:]
    done = _run([*ANSWERBOX, "check", str(package)], tmp_path)
    assert done.stdout == "0 errors, 0 warnings\n"


def test_its_bento_serves_from_an_empty_folder_with_all_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[1]  # it has a file beside it
    source, package = FOREIGN / f"{case.name}.ipynb", tmp_path / "package"
    done = _run([*ANSWERBOX, "port", str(source), "--out", str(package)], tmp_path)
    assert done.returncode == 0, done.stderr
    tag = _built(package, tmp_path / "empty" / "home")
    package.rename(tmp_path / "gone")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    live = start(tmp_path / "empty", tag)
    try:
        _asks(live, case)
    finally:
        stop(live.process)


def _asks(live: Live, case: Case) -> None:
    answer = live.post("/custom_query", case.body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["answer"] == case.answer
    custom = answer.json()["meta"]["custom"]
    assert {name: custom[name] for name in case.custom} == case.custom
    with live.client() as client, client.stream("POST", "/custom_query/stream", json=case.body) as response:
        came = list(events(response))
    pieces = [data["text"] for name, data in came if name == "token"]
    assert (len(pieces), "".join(pieces)) == (case.pieces, case.answer)
    assert came[-1][0] == "done"


def _built(package: Path, home: Path) -> str:
    """The tag of the Bento, in that store."""
    (home / "models").mkdir(parents=True)
    env = {"BENTOML_HOME": str(home), "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": "src"}
    done = _run([str(BIN / "bentoml"), "build", "--output", "tag"], package, **env)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().rpartition("__tag__:")[2]


def _run(command: list[str], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "BENTOML_DO_NOT_TRACK": "true", **env},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

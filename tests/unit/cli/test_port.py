"""`answerbox check` and `answerbox port`: what is said, where, and with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from answerbox.cli import main
from answerbox.cli.port import port
from answerbox.errors import SetupError
from answerbox.porting import package as packages
from tests.unit.porting.kit import ANSWERED, CALL, RUN_MODEL, cell, saved


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main.app, [str(argument) for argument in arguments])


def test_a_sound_notebook_passes(tmp_path: Path) -> None:
    found = run("check", saved(tmp_path, RUN_MODEL, cell(CALL, outputs=[ANSWERED])))
    assert (found.exit_code, found.stdout) == (0, "0 errors, 0 warnings\n")


def test_findings_say_where_and_what_to_do(tmp_path: Path) -> None:
    found = run("check", saved(tmp_path, "x = gone", RUN_MODEL, cell(CALL, outputs=[ANSWERED])))
    assert found.exit_code == 1
    assert found.stdout == (
        "error   cell 1, line 1: `gone` is used, and no exported cell before it defines it.\n"
        "        No cell of the notebook does: it is left from one that was changed or deleted. Define it in an "
        "exported cell that stands before.\n"
        "1 error, 0 warnings\n"
    )


def test_findings_as_json(tmp_path: Path) -> None:
    found = run("check", saved(tmp_path, "print(1)", RUN_MODEL, cell(CALL, outputs=[ANSWERED])), "--json")
    assert found.exit_code == 0
    assert [(one["code"], one["severity"], one["cell"], one["line"]) for one in json.loads(found.stdout)] == [
        ("print", "warning", 1, 1)
    ]


def test_a_notebook_with_errors_is_not_ported(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(SetupError, match="is not ported: 1 error"):
        port(saved(tmp_path, "key = 'sk-" + "abcdefghijklmnopqrstuvwxyz'", RUN_MODEL), folder, None, False, main.out)
    assert not folder.exists()


def test_a_notebook_is_ported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "SOURCE", tmp_path / "source")
    monkeypatch.setattr(packages, "closure", lambda names: dict.fromkeys(names, "1.0"))
    (tmp_path / "source").mkdir()
    found = run("port", saved(tmp_path, RUN_MODEL, CALL), "--out", tmp_path / "out", "--name", "echo")
    assert found.exit_code == 0, found.output
    assert found.stdout.endswith("the package echo; 1 example to test it by.\n")
    assert (tmp_path / "out" / "src" / "echo" / "pipeline.py").is_file()

"""`docs/clients.md`: its examples run as they stand, one after the other, against a live service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from answerbox.client import Client
from answerbox.contracts import RagResponse
from tests.live import BIN, Live

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SHELL = [line for line in re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE) if "answerbox ask" in line]


def run(command: list[str], live: Live, folder: Path) -> str:
    path = os.pathsep.join((str(BIN), os.environ["PATH"]))
    env = {**os.environ, "ANSWERBOX_URL": live.url, "PATH": path}
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_for_python_run(fakes: Live, tmp_path: Path) -> None:
    assert len(PYTHON) == 5
    program = "\n".join(PYTHON).replace('"http://127.0.0.1:3000"', "")
    printed = run([sys.executable, "-c", program], fakes, tmp_path)
    for line in (
        "succeeded\nsucceeded\n",
        "document_not_found There is no document",
        "'field': 'top_k'",
        "unavailable True",
    ):
        assert line in printed


def test_the_examples_for_the_terminal_run(fakes: Live, tmp_path: Path) -> None:
    assert len(SHELL) == 3
    printed = [run(["bash", "-c", line], fakes, tmp_path) for line in SHELL]
    assert all(printed)
    assert RagResponse.model_validate_json(printed[-1]).meta.pipeline == "rag"


def test_every_method_is_told() -> None:
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert {name for name in methods if f"`{name}`" not in PAGE} == set()

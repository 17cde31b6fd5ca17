"""`docs/configuration.md`: committed, whole, and the same on every machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from answerbox.cli.configuration import page
from answerbox.settings import Settings, variable

COMMITTED = Path(__file__).parents[3] / "docs" / "configuration.md"
ROW = re.compile(r"^\| `([A-Z0-9_]+)` \|", re.MULTILINE)


def cells(setting: str) -> list[str]:
    [row] = [line for line in page().splitlines() if line.startswith(f"| `{variable(setting)}` |")]
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_the_committed_page_is_the_one_of_the_code() -> None:
    assert COMMITTED.read_text("utf-8") == page(), "run `make docs`"


def test_every_setting_has_one_row_in_the_order_of_the_class() -> None:
    assert ROW.findall(page()) == [variable(name) for name in Settings.model_fields]


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_a_row_says_default_bounds_and_meaning(setting: str) -> None:
    name, default, allowed, meaning = cells(setting)
    assert name
    assert default
    assert allowed
    assert meaning.replace(r"\|", "|") == Settings.model_fields[setting].description


@pytest.mark.parametrize(
    ("setting", "default", "allowed"),
    [
        ("default_top_k", "`3`", "whole number, ≥ 1, ≤ 20"),
        ("request_timeout_s", "`120`", "number, > 0, ≤ 500"),
        ("min_relevance", "`0.41`", "number, ≥ 0, ≤ 1"),
        ("max_requests", "`2000`", "whole number, ≥ 1"),
        ("seed_docs", "`true`", "`true` or `false`"),
        ("env", "`development`", "`development`, `production`"),
        ("open_routes", '`["docs"]`', "list of `docs`, `health`, `metrics`"),
        ("cors_origins", "`[]`", "list of text"),
        ("llm_api_key", "none", "text, never shown"),
        ("limits_url", "`memory://`", r"text, matches `^(memory\|rediss?)://`"),
        ("langfuse_secret_key", "none", "text, never shown"),
        ("prices", "`{}`", "object of list of number"),
        ("data_dir", "`~/.answerbox`", "path"),
    ],
)
def test_default_and_bounds_are_those_of_the_model(setting: str, default: str, allowed: str) -> None:
    assert cells(setting)[1:3] == [default, allowed]


def test_the_page_is_the_same_in_another_home_and_with_other_settings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "answerbox.cli.configuration"],
        env={**os.environ, "HOME": str(tmp_path), "ANSWERBOX_DEFAULT_TOP_K": "7"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (page(), "")
    assert str(Path.home() / ".answerbox") not in done.stdout

"""Keys and passwords: found wherever the package would take them, and their value is told nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from answerbox.porting.check import check
from tests.unit.porting.kit import RUN_MODEL, findings, notebook

# In two pieces, so that no scanner takes this file for one that leaks.
KEYS = (
    "sk-" + "proj-abcdefghijklmnopqrstuvwx",
    "hf_" + "abcdefghijklmnopqrstuvwx",
    "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789",
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "xoxb-" + "1234567890-abc",
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "-----BEGIN " + "PRIVATE KEY-----",
    "postgresql://ada:" + "hunter22@db.example.org/x",
)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "place", ["x = '{}'", "# {}", "!export X={}", "f('a', \"{}\")"], ids=["assigned", "comment", "shell", "given"]
)
def test_a_key_is_known_by_its_looks(tmp_path: Path, key: str, place: str) -> None:
    found = [one for one in findings(tmp_path, f"f = print\n{place.format(key)}", RUN_MODEL) if one.code == "secret"]
    assert [(one.severity.value, one.line) for one in found] == [("error", 2)]
    assert key not in f"{found[0].message} {found[0].hint}"


@pytest.mark.parametrize(
    "source",
    [
        "api_key = 'q8Zr2Lx0Pw7Ks4Nv'",
        "client = dict(token='q8Zr2Lx0Pw7Ks4Nv')",
        "c = {'secret': 'q8Zr2Lx0Pw7Ks4Nv'}",
        "import os\nos.environ['OPENAI_API_KEY'] = 'q8Zr2Lx0Pw7Ks4Nv'",
        "db_password = 'correcthorse'",
    ],
)
def test_a_key_is_known_by_what_it_is_set_to(tmp_path: Path, source: str) -> None:
    found = findings(tmp_path, source, RUN_MODEL)
    assert [(one.code, one.severity.value) for one in found] == [("secret", "error")]
    assert "q8Zr" not in found[0].message


@pytest.mark.parametrize(
    "source",
    [
        "import os\napi_key = os.environ['OPENAI_API_KEY']",
        "api_key = 'your-api-key-goes-here-1'",
        "max_tokens = 256; eos_token = '<|im_end|>'",
        "token = 'word'",
        "key = 'name'",
        "tokenizer = 'bert-base-uncased-v2-long-name'",
        "password = ''",
        "url = 'https://example.org/a:b@c'",
    ],
)
def test_what_only_sounds_like_one_is_none(tmp_path: Path, source: str) -> None:
    assert [one for one in findings(tmp_path, source, RUN_MODEL) if one.code == "secret"] == []


def test_in_a_cell_that_is_not_exported_it_is_a_warning(tmp_path: Path) -> None:
    found = findings(tmp_path, RUN_MODEL, f"key = '{KEYS[0]}'")
    assert [(one.code, one.severity.value) for one in found] == [("secret", "warning")]


def test_in_an_example_call_it_is_an_error_for_it_is_written_into_the_tests(tmp_path: Path) -> None:
    whole = notebook(tmp_path, RUN_MODEL, f"run_model({{'question': 'x', 'api_key': '{KEYS[0]}'}})")
    assert ("secret", "error") in [(one.code, one.severity.value) for one in check(whole)]


def test_in_files_that_are_copied_it_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text(f"a\n{KEYS[1]}")
    (tmp_path / "helpers.py").write_text("password = 'correcthorse'")
    found = findings(tmp_path, "import helpers\nopen('data.txt')", RUN_MODEL)
    assert sorted(one.message for one in found) == [
        "There is a secret in data.txt, line 2: Hugging Face token.",
        "There is a secret in helpers.py, line 1: what `password` is set to.",
    ]

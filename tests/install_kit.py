"""A folder that `deploy/systemd/answerbox-install` takes for a machine, and wheels for it to install."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.live import free_port

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "deploy" / "systemd" / "answerbox-install"
ENTRY_POINT = "[console_scripts]\nanswerbox = answerbox.cli.main:main\n"
LIMIT_S = 300

STUB = '''
"""Stands in for Answerbox: `serve` answers /readyz, and keeps a ledger whose schema it may change."""
import http.server, os, pathlib, signal, sqlite3, sys, time

VERSION, SCHEMA, FAULT = {version!r}, {schema}, {fault!r}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if FAULT == "never ready" else 200)
        self.end_headers()
        self.wfile.write(VERSION.encode())

    def log_message(self, *_):
        pass


def serve():
    data = pathlib.Path(os.environ["ANSWERBOX_DATA_DIR"])
    db = sqlite3.connect(data / "ledger.sqlite3", isolation_level=None)
    if db.execute("PRAGMA user_version").fetchone()[0] > SCHEMA:
        sys.exit("written by a newer Answerbox")
    db.execute(f"PRAGMA user_version = {{SCHEMA}}")
    if FAULT == "ends":
        sys.exit("broken")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()


def main():
    if sys.argv[1] == "serve":
        serve()
    if sys.argv[1] == "keys":
        pathlib.Path(os.environ["ANSWERBOX_DATA_DIR"], "keys.json").write_text("[]")
    print(VERSION, *sys.argv[1:], os.environ.get("ANSWERBOX_OPEN_ROUTES"))
'''

PIP = '''
"""Stands in for pip: unpacks a wheel beside itself, and makes its command. It installs no other packages."""
import pathlib, sys, zipfile

if sys.argv[-1].endswith(".whl"):
    zipfile.ZipFile(sys.argv[-1]).extractall(pathlib.Path(__file__).parent.parent)
    command = pathlib.Path(sys.prefix, "bin", "answerbox")
    command.write_text(f"#!{sys.prefix}/bin/python\\nfrom answerbox.cli.main import main\\nmain()\\n")
    command.chmod(0o755)
'''


def wheel(folder: Path, version: str, files: Mapping[str, bytes]) -> Path:
    """A wheel of a package `answerbox`, without one that builds it. `files` by their place in it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"answerbox-{version}-py3-none-any.whl"
    about = f"answerbox-{version}.dist-info"
    meta = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: answerbox\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": ENTRY_POINT.encode(),
    }
    everything = {**files, **meta}
    record = "".join(f"{name},,\n" for name in [*everything, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**everything, f"{about}/RECORD": record.encode()}.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return path


def stub(folder: Path, version: str, schema: int = 1, fault: str = "") -> Path:
    """`fault`: `ends` after it has changed the ledger, or is `never ready`."""
    text = STUB.format(version=version, schema=schema, fault=fault)
    return wheel(
        folder,
        version,
        {f"answerbox/{name}": b"" for name in ("__init__.py", "cli/__init__.py")}
        | {"answerbox/cli/main.py": text.encode()},
    )


def real(folder: Path, version: str) -> Path:
    """The code of this checkout, under another version."""
    source = ROOT / "src"
    files = {
        str(file.relative_to(source)): file.read_bytes()
        for file in (source / "answerbox").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    files["answerbox/__init__.py"] = f'__version__ = "{version}"\n'.encode()
    return wheel(folder, version, files)


@dataclass
class Host:
    """`python`: what the releases are made with."""

    root: Path
    python: Path
    port: str = field(default_factory=lambda: str(free_port()))

    def __post_init__(self) -> None:
        systemctl = self.root.with_name("systemctl")
        systemctl.write_text(f'#!/bin/sh\nexec {sys.executable} -S {ROOT}/tests/systemctl.py "$@"\n')
        systemctl.chmod(0o755)
        self.requirements = self.root.with_name("requirements.txt")
        self.requirements.touch()
        self.settings(HOST="127.0.0.1", PORT=self.port, ANSWERBOX_ENV="production")

    @property
    def data(self) -> Path:
        return self.root / "var" / "lib" / "answerbox" / "data"

    @property
    def releases(self) -> set[str]:
        return {folder.name for folder in (self.root / "opt" / "answerbox" / "releases").iterdir()}

    @property
    def backups(self) -> list[Path]:
        return sorted((self.root / "var" / "backups" / "answerbox").iterdir())

    def settings(self, **values: str) -> None:
        file = self.root / "etc" / "answerbox" / "answerbox.env"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    def environment(self) -> dict[str, str]:
        outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        own = {"DESTDIR": self.root, "SYSTEMCTL": self.root.with_name("systemctl"), "PYTHON": self.python}
        return {**outside, "PIP_NO_INDEX": "1", **{name: str(value) for name, value in own.items()}}

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *arguments], env=self.environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    def put(self, command: str, wheel: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """`install` or `upgrade`."""
        given = ("--wheel", wheel, "--requirements", self.requirements, "--no-models", "--wait", "60")
        return self.run(command, *given, *options)

    def version(self) -> str:
        """Of what answers, told by the stub."""
        return httpx.get(f"http://127.0.0.1:{self.port}/", trust_env=False).text


@contextmanager
def host(folder: Path, python: Path) -> Iterator[Host]:
    """What runs in it ends with the block."""
    machine = Host(folder / "root", python)
    try:
        yield machine
    finally:
        if (machine.root / "answerbox.pid").exists():
            subprocess.run([folder / "systemctl", "stop"], env=machine.environment(), check=True)


def light_python(folder: Path) -> Path:
    """A Python that makes environments with the stand-in for pip: enough for a stub."""
    (folder / "pip.py").write_text(PIP)
    return _python(folder, f'mkdir "$packages/pip" && cp {folder / "pip.py"} "$packages/pip/__main__.py"')


def full_python(folder: Path) -> Path:
    """A Python whose environments have the packages of this one, so that pip is there and finds them installed."""
    packages = next((Path(sys.prefix) / "lib").glob("python*/site-packages"))
    bentoml = Path(sys.executable).with_name("bentoml")
    return _python(
        folder,
        f'echo {packages} >"$packages/packages.pth"\n'
        f'sed "1s|.*|#!$3/bin/python|" {bentoml} >"$3/bin/bentoml" && chmod +x "$3/bin/bentoml"',
    )


def _python(folder: Path, after_venv: str) -> Path:
    path = folder / "python"
    path.write_text(
        f"""#!/bin/bash
[ "$1 $2" = "-m venv" ] || exec {sys.executable} "$@"
{sys.executable} -m venv --without-pip "$3"
packages=$(echo "$3"/lib/python*/site-packages)
{after_venv}
"""
    )
    path.chmod(0o755)
    return path

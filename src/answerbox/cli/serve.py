"""`answerbox serve`: what may be wrong is checked first, in words; then `bentoml serve` runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import typer

from answerbox.adapters import model_store
from answerbox.adapters.data_folder import DataFolder
from answerbox.errors import SetupError
from answerbox.settings import FAKE, Settings, load_settings

POLL_S = 0.25
READY_LIMIT_S = 900.0


def run(host: str, port: int, target: str) -> int:
    """Serves until it is told to stop; returns BentoML's exit code.

    Raises:
        SetupError: a wrong setting, a busy port, a missing model, a data folder in use.
    """
    settings = load_settings()
    check(settings, host, port)
    child = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("bentoml")),
            "serve",
            target,
            "--host",
            host,
            "--port",
            str(port),
        ],
        env={"BENTOML_DO_NOT_TRACK": "true", "TOKENIZERS_PARALLELISM": "false", **os.environ},
        start_new_session=True,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: child.terminate())
    if _wait_until_ready(child, f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"):
        typer.echo(f"Answerbox is ready: http://{host}:{port}")
    return child.wait()


def check(settings: Settings, host: str, port: int) -> None:
    _check_port(host, port)
    for tag in (settings.generator_model, settings.embedder_model):
        if tag != FAKE:
            model_store.find(tag)
    DataFolder(settings.data_dir).release()


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise SetupError(
                f"{host}:{port} cannot be served on: {exc.strerror}.",
                hint="Choose another with PORT= or HOST=.",
            ) from None


def _wait_until_ready(child: subprocess.Popen[bytes], url: str) -> bool:
    """Until the models are loaded and Answerbox's own documents are indexed."""
    end = time.monotonic() + READY_LIMIT_S
    while child.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url + "/health", timeout=5) as answer:
                health = json.load(answer)
            index = health["dependencies"].get("index", {}).get("detail", {})
            if health["status"] == "ok" and not index.get("waiting"):
                return True
        except (OSError, ValueError, urllib.error.URLError):
            pass
        time.sleep(POLL_S)
    return False

"""`deploy/fly`, `deploy/render`, `deploy/heroku` and the image that they share: settings, memory, stop, start."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from answerbox import __version__
from tests.deploy_kit import DEPLOY, longest_stop_s, read_yaml, settings

IMAGE = f"answerbox-paas:{__version__}"
USER = 1034
WITH_EMBEDDED_MODELS_MB = 2_768
"""The most that all processes took in a flood of requests (docs/overload.md)."""
WITHOUT_LANGUAGE_MODEL_MB = 925
"""Answerbox, Embedder, Index and BentoML's supervisor (docs/soak.md), and `answerbox serve` (docs/figures.md)."""
RENDER_MB = {"starter": 512, "standard": 2_048, "pro": 4_096}
HEROKU_MB = {"basic": 512, "standard-1x": 512, "standard-2x": 1_024, "performance-m": 2_560, "performance-l": 14_336}
HEROKU_KILLS_S = 30
HEROKU_WAITS_S = 30


@pytest.fixture(scope="module")
def fly() -> dict[str, Any]:
    return tomllib.loads((DEPLOY / "fly" / "fly.toml").read_text())


@pytest.fixture(scope="module")
def render() -> Any:
    [service] = read_yaml(DEPLOY / "render" / "render.yaml")["services"]
    return service


@pytest.fixture(scope="module")
def heroku() -> Any:
    return json.loads((DEPLOY / "heroku" / "app.json").read_text())


def wanted_mb(environment: dict[str, str]) -> int:
    return WITHOUT_LANGUAGE_MODEL_MB if settings(environment).llm_base_url else WITH_EMBEDDED_MODELS_MB


def test_fly(fly: dict[str, Any]) -> None:
    assert settings(fly["env"]).env == "production"
    assert fly["kill_timeout"] > longest_stop_s(fly["env"])
    assert fly["build"]["image"] == IMAGE
    assert fly["http_service"]["internal_port"] == int(fly["env"]["PORT"])
    assert [check["path"] for check in fly["http_service"]["checks"]] == ["/readyz"]
    assert fly["mounts"]["destination"] == "/data"
    [machine] = fly["vm"]
    assert int(machine["memory"].removesuffix("gb")) * 1_024 > wanted_mb(fly["env"])


def test_render(render: dict[str, Any]) -> None:
    given = {one["key"]: one["value"] for one in render["envVars"] if "value" in one}
    assert settings(given).env == "production"
    assert render["maxShutdownDelaySeconds"] > longest_stop_s(given)
    assert render["image"]["url"].endswith(f"/{IMAGE}")
    assert (render["healthCheckPath"], render["disk"]["mountPath"], render["numInstances"]) == ("/readyz", "/data", 1)
    assert RENDER_MB[render["plan"]] > wanted_mb(given)
    [asked] = [one for one in render["envVars"] if "value" not in one]
    assert asked == {"key": "KEYS_JSON", "sync": False}


def test_heroku(heroku: dict[str, Any]) -> None:
    given = {name: one.get("value", "https://x.example.org") for name, one in heroku["env"].items()}
    ours = settings(given)
    assert ours.env == "production"
    assert longest_stop_s(given) < HEROKU_KILLS_S
    assert ours.request_timeout_s < HEROKU_WAITS_S
    assert ours.data_dir.parts[1] == "tmp"
    assert HEROKU_MB[heroku["formation"]["web"]["size"]] > wanted_mb(given)
    built = read_yaml(DEPLOY / "heroku" / "heroku.yml")["build"]
    assert (DEPLOY.parent / built["docker"]["web"]).is_file()
    assert built["config"]["IMAGE"].endswith(f"/answerbox:{__version__}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may enter, with an `answerbox` that says who it is."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    command = path / "answerbox"
    command.write_text('#!/bin/sh\nid -u\necho "$@"\ncat "$ANSWERBOX_KEYS_FILE"\ntouch "$ANSWERBOX_DATA_DIR/written"\n')
    command.chmod(0o755)
    (path / "data").mkdir()
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("root", [True, False], ids=["as-root", "as-whom-the-platform-has-chosen"])
def test_the_start_gives_up_roots_rights_and_brings_the_keys(root: bool, folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    other = 4711
    own = {"KEYS_JSON": '[{"name": "me"}]', "ANSWERBOX_KEYS_FILE": f"{folder}/data/keys.json"}
    if not root:
        os.chown(folder / "data", other, other)
    done = subprocess.run(
        ["sh", "-c", (DEPLOY / "paas" / "start").read_text(), "start", "serve", "--part", "index"],
        env={"PATH": f"{folder}:{os.environ['PATH']}", "ANSWERBOX_DATA_DIR": f"{folder}/data", **own},
        user=None if root else other,
        group=None if root else other,
        capture_output=True,
        text=True,
        check=True,
    )
    user = USER if root else other
    assert done.stdout == f"{user}\nserve --part index\n{own['KEYS_JSON']}"
    assert (folder / "data" / "written").stat().st_uid == user

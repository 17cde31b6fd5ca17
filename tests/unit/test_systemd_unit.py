"""`deploy/systemd`: the unit says nothing that systemd does not know, and leaves little open."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy_kit import DEPLOY, longest_stop_s, settings

UNIT = DEPLOY / "systemd" / "answerbox.service"
SCRIPT = DEPLOY / "systemd" / "answerbox-install"
EXAMPLE = DEPLOY / "systemd" / "answerbox.env.example"
EXPOSURE = 1.5
"""By `systemd-analyze security`: 10 is no protection at all. What is left are sockets, the network and /proc."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    path = tmp_path / "answerbox.service"
    path.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    return path


@needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_the_unit_is_hardly_exposed(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"Overall exposure level for answerbox.service: (\S+)", done.stdout)
    assert found
    assert float(found[1]) <= EXPOSURE


def test_a_stop_has_the_time_that_running_requests_have() -> None:
    [limit] = values("TimeoutStopSec")
    assert float(limit) > longest_stop_s({})


def test_the_unit_sets_only_settings_that_there_are() -> None:
    words = " ".join(values("Environment")).split()
    given = dict(word.split("=", 1) for word in words)
    assert str(settings(given).data_dir) == "/var/lib/answerbox/data"


def test_every_line_of_the_example_is_a_setting_also_those_that_are_off() -> None:
    lines = re.findall(r"^#?([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    given = {name: value.strip("'") for name, value in lines if value}
    assert settings(given).env == "production"
    assert settings(given).open_routes == {"docs", "metrics"}
    settings({name: "http://x" if name.endswith("_URL") else "x" for name, value in lines if not value})


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say_against_the_script() -> None:
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout == ""

"""`scripts/setup` and `make`: one clear last line for what goes wrong, and nothing half-made left behind.

Most cases need no packages: a stand-in for Python plays `venv` and `pip`, so that each of their failures is at hand.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live import wait_until

ROOT = Path(__file__).parents[2]
PARTS = "Makefile README.md constraints.txt pyproject.toml scripts/setup src/answerbox/__init__.py"
TOOLS = "awk bash cat chmod cp df dirname flock grep ln make mkdir mv rm sha256sum sleep tee touch"

PYTHON = r"""#!/bin/bash
here=$(cd "$(dirname "$0")/.." && pwd)
case "${0##*/} $*" in
    *" --version") echo "Python ${FAKE_VERSION:-3.11.0}" ;;
    *version_info*) [ -z "${FAKE_VERSION:-}" ] ;;
    *ensurepip*) [ -z "${FAKE_NO_VENV:-}" ] ;;
    *"-m venv "*)
        mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
        printf '#!/bin/bash\necho "pip 1 from %s/lib"\n' "$PWD/$3" >"$3/bin/pip" && chmod +x "$3/bin/pip" ;;
    *"-m pip install "*)
        echo "$*" >>"$FAKE_CALLS"
        echo "$*" >"$here/packages.new" && mv "$here/packages.new" "$here/packages"
        until [ "$1" = --log ]; do shift; done
        case "${FAKE_PIP:-}" in
            hang) sleep 600 & echo $! >"$FAKE_CALLS.pid" && wait ;;
            ?*) echo "$FAKE_PIP" | tee "$2" && exit 2 ;;
        esac ;;
esac
"""


@dataclass
class Machine:
    """A checkout, and a PATH with nothing on it but tools that every Debian has and the stand-in."""

    checkout: Path
    bin: Path

    @property
    def venv(self) -> Path:
        return self.checkout / ".venv"

    def environment(self, **env: str) -> dict[str, str]:
        own = {"PATH": str(self.bin), "TMPDIR": str(self.bin.parent / "tmp"), "FAKE_CALLS": str(self.bin / "calls")}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return {**outside, **own, **env}

    def run(self, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command or ["scripts/setup"],
            cwd=self.checkout,
            env=self.environment(**env),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def running(self, *command: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            command or ["scripts/setup"],
            cwd=self.checkout,
            env=self.environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a CI job may ignore it
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def hanging(self) -> int:
        """The process that pip has started, once pip hangs."""
        file = self.bin / "calls.pid"
        return int(wait_until(lambda: file.exists() and file.read_text().strip(), 30, "pip runs"))

    def calls(self) -> list[str]:
        """What pip has been asked for, and nothing of it the next time."""
        file = self.bin / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    def tool(self, name: str, text: str) -> None:
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def extra(self) -> set[str]:
        """What is in the checkout and was not cloned, and temporary files."""
        cloned = {Path(part).parts[0] for part in PARTS.split()}
        files = [*self.checkout.iterdir(), *(self.bin.parent / "tmp").iterdir(), *self.venv.glob(".unfinished")]
        return {file.name for file in files} - cloned


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path / "check out", tmp_path / "bin")
    for part in PARTS.split():
        (machine.checkout / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, machine.checkout / part)
    machine.bin.mkdir()
    (tmp_path / "tmp").mkdir()
    for tool in TOOLS.split():
        place = shutil.which(tool)
        assert place, f"this test needs {tool}"
        (machine.bin / tool).symlink_to(place)
    machine.tool("python3", PYTHON)
    machine.tool("df", "#!/bin/bash\necho head; echo disk 0 0 99999 0 mount\n")
    return machine


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr.splitlines()[-1]


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def change_a_version(machine: Machine) -> None:
    with (machine.checkout / "constraints.txt").open("a") as file:
        file.write("one-more==1.0\n")


def test_what_is_installed_already_is_skipped_at_once(machine: Machine) -> None:
    first = machine.run()
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "setup: done"
    [call] = machine.calls()
    assert "-c constraints.txt -e ." in call

    began = time.monotonic()
    again = machine.run()
    assert time.monotonic() - began < 1
    assert (again.returncode, again.stdout, again.stderr, machine.calls()) == (0, "", "", [])
    assert machine.extra() == {".venv"}


def test_a_changed_version_is_installed_and_developers_have_all_that_running_needs(machine: Machine) -> None:
    machine.run()
    change_a_version(machine)
    machine.calls()
    assert machine.run("scripts/setup", "dev").returncode == 0
    [call] = machine.calls()
    assert call.endswith("-e .[dev]")
    for kind in ("run", "dev"):
        assert machine.run("scripts/setup", kind).returncode == 0
    assert machine.calls() == []
    assert machine.extra() == {".venv"}


def test_an_environment_that_was_moved_is_made_anew(machine: Machine) -> None:
    machine.run()
    (machine.venv / "old").touch()
    moved = Machine(machine.checkout.rename(machine.bin.parent / "moved"), machine.bin)
    assert moved.run().returncode == 0
    assert not (moved.venv / "old").exists()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        pytest.param({"FAKE_VERSION": "3.9.2"}, ["Python 3.11 or newer", "3.9.2", "PYTHON="], id="an-old-python"),
        pytest.param({"PYTHON": "no-python"}, ["Python 3.11 or newer", "none", "PYTHON="], id="no-python"),
        pytest.param({"FAKE_NO_VENV": "1"}, ["apt-get install python3-venv"], id="no-venv"),
        pytest.param({"FAKE_PIP": "OSError: [Errno 28] No space left on device"}, ["disk is full"], id="a-full-disk"),
        pytest.param({"FAKE_PIP": "Retrying after NewConnectionError"}, ["network", "PIP_INDEX_URL"], id="no-network"),
        pytest.param({"FAKE_PIP": "ResolutionImpossible"}, ["stands above"], id="another-failure-of-pip"),
    ],
)
@pytest.mark.parametrize("there", [False, True], ids=["the-first-time", "an-upgrade"])
def test_a_failure_is_one_clear_line_and_leaves_everything_as_it_was(
    env: dict[str, str], said: list[str], there: bool, machine: Machine
) -> None:
    if there:
        machine.run()
        change_a_version(machine)
    before = (machine.venv / "packages").read_text() if there else None
    line = last_line(machine.run(**env))
    assert line.startswith("setup: ")
    assert [text for text in said if text not in line] == []
    assert machine.extra() == ({".venv"} if there else set())
    if there:
        assert (machine.venv / "packages").read_text() == before
    assert machine.run().returncode == 0


def test_too_little_room_is_told_before_anything_is_fetched(machine: Machine) -> None:
    machine.tool("df", "#!/bin/bash\necho head; echo disk 0 0 120 0 mount\n")
    line = last_line(machine.run())
    assert "120 MB are free" in line
    assert "make room" in line
    assert (machine.calls(), machine.extra()) == ([], set())


def test_without_a_network_a_real_pip_fails_soon_and_leaves_nothing(machine: Machine) -> None:
    done = machine.run(
        PATH=os.environ["PATH"],
        PYTHON=sys.executable,
        PIP_INDEX_URL="http://127.0.0.1:9/",
        PIP_CONFIG_FILE=os.devnull,
        PIP_FIND_LINKS="",
        PIP_EXTRA_INDEX_URL="",
    )
    line = last_line(done)
    assert "check the network" in line
    assert "PIP_INDEX_URL" in line
    assert machine.extra() == set()


@pytest.mark.parametrize("there", [False, True], ids=["the-first-time", "an-upgrade"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_stopped_in_the_middle_it_leaves_everything_as_it_was(
    number: signal.Signals, there: bool, machine: Machine
) -> None:
    if there:
        machine.run()
        change_a_version(machine)
    with machine.running(FAKE_PIP="hang") as process:
        started = machine.hanging()
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # a terminal sends it to everyone
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "setup: stopped before the end; run it again."
    assert not alive(started)
    assert machine.extra() == ({".venv"} if there else set())
    assert machine.run().returncode == 0


@pytest.mark.parametrize("there", [False, True], ids=["the-first-time", "an-upgrade"])
def test_what_a_killed_setup_has_left_is_put_right_by_the_next(there: bool, machine: Machine) -> None:
    if there:
        machine.run()
        change_a_version(machine)
    with machine.running(FAKE_PIP="hang") as process:
        pip = os.getpgid(machine.hanging())
        process.kill()
        process.wait(30)
        os.killpg(pip, signal.SIGKILL)
    (machine.venv / "half-made").touch()
    assert machine.run().returncode == 0
    assert not (machine.venv / "half-made").exists()
    assert machine.extra() == {".venv"}


def test_a_second_setup_waits_for_the_first(machine: Machine) -> None:
    with machine.running(FAKE_PIP="hang"):
        machine.hanging()
        with machine.running() as second:
            assert second.stdout
            assert "waiting" in second.stdout.readline()
            second.terminate()
            second.wait(30)
        assert (machine.venv / "packages").exists()
    assert machine.extra() == set()


def test_make_passes_the_failure_on(machine: Machine) -> None:
    done = machine.run("make", "serve", "PYTHON=no-python")
    assert done.returncode != 0
    ours, makes = done.stderr.splitlines()
    assert ours.startswith("setup: Python 3.11 or newer is needed")
    assert makes.startswith("make: ***")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_make_serve_passes_the_port_and_the_signals_on(number: signal.Signals, machine: Machine) -> None:
    machine.run()
    told = machine.bin / "told"
    (machine.venv / "bin" / "answerbox").write_text(
        f'#!/bin/bash\necho $$ $PPID "$@" >>"{told}"\n[ "$1" != serve ] || exec sleep 600\n'
    )
    (machine.venv / "bin" / "answerbox").chmod(0o755)
    with machine.running("make", "serve", "PORT=4321") as make:
        lines = wait_until(lambda: told.exists() and told.read_text().splitlines()[1:], 30, "it serves")
        pid, parent, *arguments = lines[0].split()
        assert arguments == ["serve", "--host", "127.0.0.1", "--port", "4321"]
        assert int(parent) == make.pid  # no shell between them
        if number == signal.SIGINT:
            os.killpg(make.pid, number)
        else:
            make.send_signal(number)
        make.communicate(timeout=30)
    assert not alive(int(pid))

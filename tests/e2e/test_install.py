"""`deploy/systemd/answerbox-install`, in a folder that it takes for a machine, with a stand-in for systemd."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from answerbox.client import Client
from answerbox.contracts import DocumentIn
from tests.install_kit import ROOT, SCRIPT, Host, full_python, host, light_python, real, stub
from tests.live import wait_until


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return light_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def installed(tmp_path: Path, wheels: Path, python: Path) -> Iterator[Host]:
    """Version 1 runs, and has a document."""
    with host(tmp_path, python) as machine:
        done = machine.put("install", stub(wheels, "1.0"))
        assert done.returncode == 0, done.stdout + done.stderr
        (machine.data / "document").write_text("one")
        (machine.data / "chroma").mkdir()
        yield machine


def said(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    """The last line."""
    assert done.returncode == code, done.stdout + done.stderr
    return (done.stderr if code else done.stdout).splitlines()[-1]


def test_an_installation_runs_has_a_key_and_is_not_repeated(installed: Host, wheels: Path) -> None:
    assert installed.version() == "1.0"
    assert (installed.data / "keys.json").exists()
    calls = (installed.root / "systemctl.calls").read_text()
    assert "1.0 runs" in said(installed.put("install", stub(wheels, "1.0")))
    again = (installed.root / "systemctl.calls").read_text().removeprefix(calls)
    assert "restart" not in again
    assert installed.releases == {"1.0"}
    assert "ready     yes" in installed.run("status").stdout


def test_run_has_the_settings_of_the_service(installed: Host) -> None:
    installed.settings(PORT=installed.port, ANSWERBOX_OPEN_ROUTES='\'["docs", "metrics"]\'')
    assert said(installed.run("run", "keys", "list")) == '1.0 keys list ["docs", "metrics"]'


def test_an_upgrade_keeps_the_data_and_a_way_back(installed: Host, wheels: Path) -> None:
    assert "2.0 runs" in said(installed.put("upgrade", stub(wheels, "2.0")))
    assert installed.version() == "2.0"
    (backup,) = installed.backups
    assert backup.name.endswith("-1.0")
    assert {path.name for path in backup.iterdir()} == {"document", "keys.json", "ledger.sqlite3"}

    (installed.data / "document").write_text("two")
    assert "1.0 runs again" in said(installed.run("rollback"))
    assert installed.version() == "1.0"
    assert (installed.data / "document").read_text() == "two"


def test_of_the_versions_before_only_one_is_kept_and_three_backups(installed: Host, wheels: Path) -> None:
    for version in ("2.0", "3.0", "4.0", "5.0"):
        said(installed.put("upgrade", stub(wheels, version)))
    assert installed.releases == {"4.0", "5.0"}
    assert [backup.name[-3:] for backup in installed.backups] == ["2.0", "3.0", "4.0"]


@pytest.mark.parametrize("fault", ["ends", "never ready"])
@pytest.mark.parametrize("schema", [1, 2], ids=["the-same-tables", "new-tables"])
def test_a_version_that_does_not_get_ready_is_taken_back(
    fault: str, schema: int, installed: Host, wheels: Path, tmp_path: Path
) -> None:
    broken = stub(tmp_path / "broken", "2.0", schema, fault)
    line = said(installed.put("upgrade", broken, "--wait", "3"), 1)
    assert line == "answerbox-install: 1.0 runs again, with its data; nothing was upgraded."
    assert installed.version() == "1.0"
    assert (installed.data / "document").read_text() == "one"
    # The same version, put right, is another wheel, and needs another number.
    assert "needs another version" in said(installed.put("upgrade", stub(wheels, "2.0")), 1)
    assert "2.0.1 runs" in said(installed.put("upgrade", stub(wheels, "2.0.1")))


def test_a_way_back_over_new_tables_is_refused_unless_the_data_go_back_too(installed: Host, wheels: Path) -> None:
    said(installed.put("upgrade", stub(wheels, "2.0", schema=2)))
    (installed.data / "document").write_text("two")
    line = said(installed.run("rollback"), 1)
    assert "which 1.0 cannot read" in line
    assert "--with-data" in line
    assert installed.version() == "2.0"

    said(installed.run("rollback", "--with-data"))
    assert installed.version() == "1.0"
    assert (installed.data / "document").read_text() == "one"
    aside = next(path for path in installed.backups if path.name.endswith("-aside"))
    assert (aside / "document").read_text() == "two"


def test_stopped_in_the_middle_of_an_upgrade_it_goes_back(installed: Host, tmp_path: Path) -> None:
    slow = stub(tmp_path / "slow", "2.0", fault="never ready")
    given = ("--wheel", slow, "--requirements", installed.requirements, "--no-models")
    with subprocess.Popen(
        [SCRIPT, "upgrade", *given],
        env=installed.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        with closing(process.stdout) as lines:
            assert any(line.endswith("starting 2.0\n") for line in lines)
            process.send_signal(signal.SIGTERM)
            lines.read()
        assert process.wait(60) == 1
    assert installed.version() == "1.0"


def test_a_release_that_was_left_half_made_is_made_anew(installed: Host, wheels: Path) -> None:
    half = installed.root / "opt" / "answerbox" / "releases" / "2.0"
    half.mkdir()
    (half / "rest").touch()
    said(installed.put("upgrade", stub(wheels, "2.0")))
    assert not (half / "rest").exists()


def test_an_uninstalled_service_leaves_settings_and_data(installed: Host) -> None:
    assert "still there" in said(installed.run("uninstall"))
    with pytest.raises(httpx.ConnectError):
        installed.version()
    assert (installed.data / "document").read_text() == "one"
    assert not (installed.root / "opt" / "answerbox").exists()
    assert "nothing is installed" in said(installed.run("status"), 1)
    said(installed.run("uninstall", "--purge"))
    assert not installed.data.exists()
    assert not (installed.root / "var" / "backups" / "answerbox").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        pytest.param(("upgrade",), "nothing is installed", id="upgrade-of-nothing"),
        pytest.param(("rollback",), "no version before", id="no-way-back"),
        pytest.param(("install", "--whel", "x"), "no option --whel", id="a-typing-error"),
        pytest.param(("install", "--wheel"), "--wheel wants a value", id="no-value"),
        pytest.param(("install", "--wheel", "none.whl"), "no wheel none.whl", id="no-such-wheel"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], line: str, tmp_path: Path, python: Path) -> None:
    with host(tmp_path, python) as machine:
        assert line in said(machine.run(*arguments), 1)


def test_the_real_service_is_installed_and_upgraded_and_keeps_its_documents(tmp_path: Path) -> None:
    with host(tmp_path, full_python(tmp_path)) as machine:
        models = {"ANSWERBOX_GENERATOR_MODEL": "fake", "ANSWERBOX_EMBEDDER_MODEL": "fake"}
        machine.settings(HOST="127.0.0.1", PORT=machine.port, ANSWERBOX_ENV="production", **models)
        machine.requirements.write_text((ROOT / "requirements.txt").read_text())
        done = machine.put("install", real(tmp_path, "0.1.0"), "--wait", "180")
        assert done.returncode == 0, done.stdout + done.stderr
        key = next(line for line in done.stdout.splitlines() if line.startswith("ab_"))
        with Client(f"http://127.0.0.1:{machine.port}", key) as client:
            client.add_documents([DocumentIn(id="moon", text="The moon is a rock.")])
            said(machine.put("upgrade", real(tmp_path, "0.1.1"), "--wait", "180"))
            assert wait_until(lambda: client.search("moon").hits, 60, "the document is found")
        assert "0.1.1" in machine.run("status").stdout

"""Stands in for `systemctl` below DESTDIR, and for as much of systemd as one service needs.

It really starts and stops the process of the installed unit, with its settings; nothing is sandboxed. It imports
little, for it is called often.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(os.environ["DESTDIR"])
UNIT = ROOT / "etc" / "systemd" / "system" / "answerbox.service"
PID = ROOT / "answerbox.pid"
LOG = ROOT / "answerbox.log"
CALLS = ROOT / "systemctl.calls"
FOLDERS = {"opt", "etc", "var"}


def lines(name: str) -> list[str]:
    """The values that the unit has for it."""
    found = [line.partition("=") for line in UNIT.read_text().splitlines()]
    return [value for key, _, value in found if key == name]


def below(text: str) -> str:
    return f"{ROOT}{text}" if set(Path(text).parts[1:2]) & FOLDERS else text


def environment() -> dict[str, str]:
    """As systemd has it: the file goes before the lines of the unit."""
    file = Path(below(lines("EnvironmentFile")[0])).read_text().splitlines()
    words = [word for line in lines("Environment") for word in shlex.split(line)]
    settings = [line.partition("=") for line in file if "=" in line and not line.startswith("#")]
    unit = {key: below(value) for key, _, value in (word.partition("=") for word in words)}
    return {"PATH": os.environ["PATH"], **unit, **{key: value.strip("'\"") for key, _, value in settings}}


def alive() -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{int(PID.read_text())}/status").read_text()
    return False


def start() -> None:
    command = [below(word) for word in shlex.split(lines("ExecStart")[0])]
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment(),
            cwd=below(lines("WorkingDirectory")[0]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    PID.write_text(str(process.pid))


def stop() -> None:
    if alive():
        pid = int(PID.read_text())
        process = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        ended = select.poll()
        ended.register(process, select.POLLIN)
        if not ended.poll(float(lines("TimeoutStopSec")[0]) * 1_000):
            os.killpg(pid, signal.SIGKILL)
    PID.unlink(missing_ok=True)


def main(command: str) -> int:
    with CALLS.open("a") as calls:
        print(command, file=calls)
    if command in ("stop", "restart", "disable"):
        stop()
    if command == "restart":
        start()
    if command == "is-active":
        sys.stdout.write("active\n" if alive() else "inactive\n")
    if command == "is-failed":
        return int(alive() or not PID.exists())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Hosts on one machine: network namespaces, each with an address of its own, on a bridge that leads nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.live import Place

NETWORK = "10.77.99"
BITS = 24


@dataclass(frozen=True)
class Hosts:
    names: Sequence[str]
    mark: str

    def place(self, name: str) -> Place:
        """Where the part of that name runs: on a host of its own."""
        return Place(_address(self.names.index(name)), within=("ip", "netns", "exec", f"{self.mark}-{name}"))


def why_not() -> str | None:
    """Why this machine cannot have them."""
    if not shutil.which("ip"):
        return "there is no ip: apt-get install iproute2"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    tried = subprocess.run(["ip", "netns", "add", "ab-try"], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", "ab-try"], capture_output=True, check=False)
    return f"no network namespaces: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[Hosts]:
    """One for each name, and this machine at the bridge, until the block ends."""
    mark = f"ab{os.getpid()}"
    with ExitStack() as stack:
        _ip(f"link add {mark} type bridge")
        stack.callback(_ip, f"link del {mark}")
        _ip(f"addr add {NETWORK}.1/{BITS} dev {mark}")
        _ip(f"link set {mark} up")
        for number, name in enumerate(names):
            host = f"{mark}-{name}"
            _ip(f"netns add {host}")
            stack.callback(_ip, f"netns del {host}")
            _ip(f"link add {mark}v{number} type veth peer name eth0 netns {host}")
            _ip(f"link set {mark}v{number} master {mark} up")
            for command in (f"addr add {_address(number)}/{BITS} dev eth0", "link set eth0 up", "link set lo up"):
                _ip(f"-n {host} {command}")
        yield Hosts(names, mark)


def _address(number: int) -> str:
    return f"{NETWORK}.{number + 2}"


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)

"""On what it was measured: the machine and the versions of the packages."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from pathlib import Path

import psutil


def description() -> str:
    """Processor, cores and memory in one line."""
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    memory = psutil.virtual_memory().total / 2**30
    return f"{name}, {cores()} cores, {memory:.0f} GiB of memory, {platform.system()} {platform.release()}"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def versions(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Of those of the packages that this interpreter has, and its own."""
    code = (
        "import sys, json, platform\nfrom importlib.metadata import version, PackageNotFoundError\n"
        "found = {'python': platform.python_version()}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = version(name)\n"
        "    except PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([str(python), "-c", code, *names], capture_output=True, text=True, check=True, timeout=60)
    return dict(json.loads(done.stdout))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""

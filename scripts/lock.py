"""Writes requirements.txt: the run-time packages of pyproject.toml and all that they need, pinned as installed.

The Bento installs from it. Run in an environment made with constraints.txt: `make lock`.
"""

from __future__ import annotations

import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# What Answerbox needs to run, direct and transitive. Made by `make lock` from pyproject.toml.\n"


def closure(requirements: list[str]) -> dict[str, str]:
    """Name → version of everything that these requirements need on this platform."""
    found: dict[str, str] = {}
    open_ = [Requirement(text) for text in requirements]
    while open_:
        requirement = open_.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        installed = distribution(name)
        seen = name in found
        found[name] = installed.version.partition("+")[0]
        for text in installed.requires or []:
            inner = Requirement(text)
            needed = inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in extras)
            if needed and (not seen or "extra" in str(inner.marker)):
                inner.marker = None
                open_.append(inner)
    return found


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [f"{name}=={version}\n" for name, version in sorted(closure(project["dependencies"]).items())]
    text = HEAD + "".join(lines)
    target = ROOT / "requirements.txt"
    if "--check" in sys.argv:
        return int(target.read_text() != text)
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

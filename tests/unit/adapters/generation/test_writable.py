"""Weights that cannot be written are copied for the engine that must open them so."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from answerbox.adapters.generation.writable import writable

NOBODY = 65534


@contextmanager
def nobody() -> Iterator[None]:
    """Root may write everything, so the block runs as somebody else."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def test_weights_that_can_be_written_are_taken_as_they_are(tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"weights")
    with writable(weights) as file:
        assert file == weights


def test_weights_that_cannot_be_written_are_copied_and_the_copy_is_removed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        weights = Path(folder) / "model.gguf"
        weights.write_bytes(b"weights")
        weights.chmod(0o444)
        with nobody():
            with writable(weights) as file:
                assert file != weights
                file.open("r+b").close()
                assert file.read_bytes() == b"weights"
            assert not file.exists()

"""Which engine runs a stored model. Called in the engine's own process, where torch may be loaded."""

from __future__ import annotations

import os
from pathlib import Path

from answerbox.adapters.generation.engine import Engine
from answerbox.adapters.gpu import has_gpu
from answerbox.errors import SetupError


def build(
    name: str, folder: Path, gguf: Path | None, device: str, ends: frozenset[int], rows: int, tokens: int
) -> Engine:
    """The engine of that name, or with `auto` the one that measures best here (`docs/benchmarks.md`).

    Raises:
        SetupError: that engine cannot run this model here.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # OpenMP's threads would spin and starve the other services
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # a log is no terminal
    if name == "auto":
        name = "continuous" if has_gpu(device) else "openvino" if gguf else "transformers"
    if name == "openvino":
        from answerbox.adapters.generation.openvino_engine import OpenVinoEngine

        if not gguf:
            raise SetupError(
                "ANSWERBOX_ENGINE=openvino needs a model with a GGUF file in the store.",
                hint="Use ANSWERBOX_ENGINE=transformers, or pull the model again.",
            )
        return OpenVinoEngine(gguf, ends, rows, tokens)
    if name == "continuous":
        from answerbox.adapters.generation.continuous_engine import ContinuousEngine

        return ContinuousEngine(folder, device, ends, rows, tokens)
    from answerbox.adapters.generation.transformers_engine import TransformersEngine

    return TransformersEngine(folder, device, ends, rows, tokens)

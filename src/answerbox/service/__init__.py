"""Everything BentoML and HTTP. `answerbox.service:Answerbox` is what `bentoml serve` runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from answerbox.service.gateway import Answerbox
    from answerbox.service.index import Index
    from answerbox.service.inference import Embedder, Generator, Reranker

__all__ = ["Answerbox", "Embedder", "Generator", "Index", "Reranker"]

MODULES = {
    "Answerbox": "gateway",
    "Embedder": "inference",
    "Generator": "inference",
    "Index": "index",
    "Reranker": "inference",
}


def __getattr__(name: str) -> Any:
    """A part alone does not import the gateway, which would ask for API keys."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)

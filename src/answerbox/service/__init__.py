"""Everything BentoML and HTTP. `answerbox.service:Answerbox` is what `bentoml serve` runs."""

from answerbox.service.gateway import Answerbox
from answerbox.service.index import Index
from answerbox.service.inference import Embedder, Generator, Reranker

__all__ = ["Answerbox", "Embedder", "Generator", "Index", "Reranker"]

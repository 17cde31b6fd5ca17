"""No request outlives its answer: BentoML's timer kept each for ten minutes."""

from __future__ import annotations

from typing import Any

import pytest
from bentoml._internal.server.http.traffic import TimeoutMiddleware

from answerbox.service.gateway import Answerbox
from answerbox.service.index import Index
from answerbox.service.inference import Embedder, Generator, Reranker


@pytest.mark.parametrize("service", [Answerbox, Index, Embedder, Generator, Reranker], ids=lambda each: each.name)
@pytest.mark.parametrize("is_main", [True, False])
def test_no_service_has_bentomls_timer(service: Any, is_main: bool) -> None:
    layers = [each.cls for each in service.to_asgi(is_main=is_main).user_middleware]
    assert layers
    assert TimeoutMiddleware not in layers

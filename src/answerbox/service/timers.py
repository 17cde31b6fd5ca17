"""BentoML's timer of a request, done without.

It is never cancelled, so every request stays in memory with all that belongs to it until `traffic.timeout` has passed:
ten minutes here, 16 kB a request. The edge and the pipelines keep the deadlines.
"""

from __future__ import annotations

from typing import Any

import bentoml
from bentoml._internal.server.http.traffic import TimeoutMiddleware


class UntimedService(bentoml.Service):  # type: ignore[misc]
    def to_asgi(self, is_main: bool = True) -> Any:
        app = super().to_asgi(is_main=is_main)
        app.user_middleware = [each for each in app.user_middleware if each.cls is not TimeoutMiddleware]
        return app

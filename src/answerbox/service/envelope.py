"""How an inner service answers: `{"result": ...}` or `{"error": ...}`.

BentoML hands errors of a dependency on without their class, and masks their text; in an envelope both arrive.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec

from answerbox.errors import AnswerboxError, InternalError
from answerbox.service.timers import UntimedService

log = logging.getLogger(__name__)
P = ParamSpec("P")

# For every inner service: never close a session under running calls, never cut a stream before its deadline,
# no access log of its own (the gateway has one).
INNER: dict[str, Any] = {
    "service_class": UntimedService,
    "workers": 1,
    "runner_connection": {"max_requests": 10**9, "max_age": 1e9},
    "traffic": {"timeout": 600},
    # `Index` without `Embedder` is ready: it searches words.
    "runner_probe": {"enabled": False, "timeout": 1, "period": 10},
    "logging": {"access": {"enabled": False}},
}


def enveloped(
    method: Callable[P, Awaitable[Any]],
) -> Callable[P, Awaitable[dict[str, Any]]]:
    @functools.wraps(method)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        try:
            return {"result": await method(*args, **kwargs)}
        except AnswerboxError as exc:
            return {"error": exc.to_wire()}
        except Exception:
            log.exception("%s failed", method.__name__)
            return {"error": InternalError("An unexpected failure; the service's log has it.").to_wire()}

    return wrapper

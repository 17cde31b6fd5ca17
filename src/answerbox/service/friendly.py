"""Around every API method: failures become problem documents, and a client that hangs up ends the work."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import ValidationError

from answerbox.errors import AnswerboxError, InternalError
from answerbox.service import exchange, problems
from answerbox.service.exchange import ClientGone


def friendly(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Placed below `@bentoml.api`, or around a Starlette handler."""

    @functools.wraps(method)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        this = exchange.current.get()
        try:
            return await method(*args, **kwargs)
        except AnswerboxError as exc:
            error = exc
        except ClientGone:
            this.gone = True
            error = InternalError("The client has gone.")  # nobody reads it
        except ValidationError as exc:  # BentoML would blame the caller for it
            error = InternalError("A part of the service broke the contract.")
            error.__cause__ = exc
        this.error = error
        problems.log_bug(error, this.request_id)
        return problems.response(error, this.request_id, this.path, this.trace.trace_id)

    return wrapper

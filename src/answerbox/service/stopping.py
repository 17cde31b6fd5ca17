"""SIGTERM: the server takes no more requests and waits for those that run. Who has more to do then is told."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

from bentoml import server_context


def when_told_to_stop(act: Callable[[], object]) -> None:
    """Calls `act` in the running event loop, at once; in a server that drains, else never."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        if callable(before):
            before(number, frame)

    if callable(before):
        signal.signal(signal.SIGTERM, stop)


def stands_alone() -> bool:
    """Whether this service was started by itself, and not for a gateway beside it, which stops first."""
    return bool(server_context.service_type == "entry_service")

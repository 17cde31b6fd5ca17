"""An ASGI app over real HTTP on a free port, in a thread of the test's own process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn

from tests.live import wait_until

LIMIT_S = 10.0


@contextmanager
def in_thread(app: Any, name: str, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """Its address, until the block ends; streams that are still held are dropped then."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="critical", lifespan=lifespan, timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name=name)
        thread.start()
        try:
            wait_until(lambda: server.started, LIMIT_S, f"{name} is up")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(LIMIT_S)
            assert not thread.is_alive(), f"{name} did not stop"

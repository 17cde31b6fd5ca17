"""A bound on the time for a request's head. Uvicorn would wait for it for ever, and a connection takes an open file."""

from __future__ import annotations

import asyncio
import uuid

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from answerbox.errors import BodyTimeout
from answerbox.service import problems


def bound_heads(seconds: float) -> None:
    """For every HTTP server that starts in this process from now on."""

    class Bounded(BoundedHeads):
        seconds_for_head = seconds

    auto.AutoHTTPProtocol = Bounded


class BoundedHeads(HttpToolsProtocol):
    """Between two requests uvicorn's own, shorter bound holds until the first byte of the next."""

    seconds_for_head: float
    _too_late: asyncio.TimerHandle | None = None
    _said_something = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        self._said_something = True
        if self._too_late is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._too_late = self.loop.call_later(self.seconds_for_head, self._cut)

    def _stop_waiting(self) -> None:
        if self._too_late:
            self._too_late.cancel()
            self._too_late = None

    def _cut(self) -> None:
        """Whoever has begun to speak is told why."""
        if self.transport.is_closing():
            return
        if self._said_something:
            self.transport.write(_refusal(self.seconds_for_head))
        self.transport.close()


def _refusal(seconds: float) -> bytes:
    error = BodyTimeout(f"The head of the request did not come within {seconds:g} seconds.", hint="Send it faster.")
    response = problems.response(error, uuid.uuid4().hex, "*")
    lines = [b"%b: %b\r\n" % pair for pair in (*response.raw_headers, (b"connection", b"close"))]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])

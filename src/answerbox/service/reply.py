"""The response on its way out. A failure that is not a problem document is held back and made one."""

from __future__ import annotations

import asyncio

from answerbox.adapters.rate_limits import Window
from answerbox.errors import AnswerboxError, RateLimited
from answerbox.service import problems
from answerbox.service.asgi import Message, Send
from answerbox.service.exchange import ClientGone, Exchange

HIDDEN = {b"server", b"x-bentoml-request-id", b"x-request-id", problems.MARK.encode()}
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
"""Added where the response does not say otherwise."""


class Reply:
    """`status` is 0 before the response has begun; `ended`: all of it has been sent.

    The head of a response of known length waits for the body: BentoML makes that some milliseconds later, and a service
    that dies in between would leave half an answer, which no proxy can ask for again.
    """

    def __init__(self, send: Send, this: Exchange, silence_s: float) -> None:
        """`silence_s`: a client that takes nothing for so long is given up."""
        self._send = send
        self._this = this
        self._silence_s = silence_s
        self._held: int | None = None
        self._body = b""
        self._head: Message | None = None
        self.window: Window | None = None
        self.started = False
        self.status = 0
        self.ended = False

    async def send(self, message: Message) -> None:
        """Raises: ClientGone where the client takes nothing of it."""
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and not _is_problem(message):
                self._held = message["status"]
                return
            self._head = {**message, "headers": self._headers(message)}
            if not _has_length(message):
                await self._send_head()
            return
        if self._held is not None:
            self._body += message.get("body", b"")
            return
        await self._send_head()
        await self._send_on(message)

    async def _send_head(self) -> None:
        if self._head:
            head, self._head = self._head, None
            self.started, self.status = True, head["status"]
            await self._send_on(head)

    async def _send_on(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._silence_s) as waiting:
                await self._send(message)
            self.ended = message["type"] == "http.response.body" and not message.get("more_body")
        except TimeoutError:
            if not waiting.expired():
                raise
            raise ClientGone from None

    async def finish(self) -> None:
        if self._held is not None:
            status, self._held = self._held, None
            await self.fail(problems.from_framework(status, self._body))

    async def fail(self, error: AnswerboxError) -> None:
        """Sends the problem; too late for that, it ends the connection, so that nobody takes half for whole."""
        this = self._this
        this.error = error
        if self.started:
            raise error
        self._head = None
        problems.log_bug(error, this.request_id)
        if isinstance(error, RateLimited) and "remaining" in error.extra:
            self.window = Window(error.extra["limit"], error.extra["remaining"], error.extra["retry_after_s"])
        response = problems.response(error, this.request_id, this.path, this.trace.trace_id)
        self._held = None
        await response({"type": "http"}, _nothing, self.send)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        kept = [pair for pair in message["headers"] if pair[0].lower() not in HIDDEN]
        said = {name.lower() for name, _ in kept}
        kept += [pair for pair in SECURITY if pair[0] not in said]
        return [*kept, *_rate(self.window), (b"x-request-id", self._this.request_id.encode())]


def _rate(window: Window | None) -> list[tuple[bytes, bytes]]:
    """As draft-ietf-httpapi-ratelimit-headers-07 names them."""
    if window is None:
        return []
    values = {"limit": window.limit, "remaining": window.remaining, "reset": window.reset_s}
    return [(f"ratelimit-{name}".encode(), str(value).encode()) for name, value in values.items()]


def _has_length(message: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in message["headers"])


def _is_problem(message: Message) -> bool:
    return any(
        name.lower() == problems.MARK.encode()
        or (name.lower() == b"content-type" and value.startswith(problems.MEDIA_TYPE.encode()))
        for name, value in message["headers"]
    )


async def _nothing() -> Message:
    return {"type": "http.disconnect"}

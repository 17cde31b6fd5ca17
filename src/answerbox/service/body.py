"""A request's body on its way in, bounded: read at once, or passed on piece by piece."""

from __future__ import annotations

import asyncio

from answerbox.errors import BodyTimeout, PayloadTooLarge
from answerbox.service.asgi import Message, Receive
from answerbox.service.exchange import ClientGone

MOST_DIGITS = 18


class Body:
    def __init__(self, receive: Receive, limit: int, silence_s: float) -> None:
        """`limit` is in bytes; `silence_s` is the longest wait for the next piece."""
        self._receive = receive
        self._limit = limit
        self._silence_s = silence_s
        self._length = 0
        self._held: Message | None = None
        self._complete = asyncio.Event()
        self.passed_on = False

    def check_length(self, declared: bytes) -> None:
        """Raises: PayloadTooLarge."""
        if declared.isdigit() and (len(declared) > MOST_DIGITS or int(declared) > self._limit):
            raise _too_large(self._limit)

    async def read_all(self, limit_s: float, told_s: float) -> None:
        """Takes at most `limit_s`; `told_s` is the time that the caller knows of.

        Raises:
            PayloadTooLarge, BodyTimeout, ClientGone
        """
        pieces = []
        try:
            async with asyncio.timeout(limit_s):
                while not self._complete.is_set():
                    pieces.append((await self._piece())["body"])
        except TimeoutError:
            raise _too_slow("completely", told_s) from None
        self._held = {"type": "http.request", "body": b"".join(pieces), "more_body": False}

    async def next(self) -> Message:
        """Raises: PayloadTooLarge, BodyTimeout, ClientGone."""
        message = self._held or await self._piece()
        self.passed_on = not message["more_body"]
        return message

    async def until_gone(self) -> None:
        """Returns when the client hangs up after its body; before that, whoever reads the body notices."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _piece(self) -> Message:
        try:
            async with asyncio.timeout(self._silence_s) as waiting:
                message = await self._receive()
        except TimeoutError:
            if not waiting.expired():
                raise
            raise _too_slow("any further", self._silence_s) from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        body = bytes(message.get("body", b""))
        self._length += len(body)
        if self._length > self._limit:
            raise _too_large(self._limit)
        more = bool(message.get("more_body"))
        if not more:
            self._complete.set()
        return {"type": "http.request", "body": body, "more_body": more}


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body is longer than {limit} bytes.",
        hint="Send less at once, or raise ANSWERBOX_MAX_BODY_BYTES (for files ANSWERBOX_MAX_UPLOAD_BYTES).",
        extra={"limit": limit},
    )


def _too_slow(how: str, seconds: float) -> BodyTimeout:
    return BodyTimeout(
        f"The body did not come {how} within {seconds:g} seconds.",
        hint="Send it faster, or in smaller requests.",
        extra={"limit": seconds},
    )

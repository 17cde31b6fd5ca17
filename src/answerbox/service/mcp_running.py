"""Requests of MCP that are being answered, so that a client can cancel one by a notification.

Newer clients hang up instead, which always works. Older ones send `notifications/cancelled` with the request's id,
which only together with the session is one request's; it is heard where the process that answers gets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from answerbox.service.exchange import Exchange

Id = str | int


class Running:
    def __init__(self) -> None:
        self._left: dict[tuple[str, str, Id], asyncio.Event] = {}

    @contextmanager
    def hold(self, this: Exchange, session: str | None, id_: Id) -> Iterator[None]:
        """While the request is answered; cancelled, it goes as if the client had hung up."""
        if session is None:
            yield
            return
        place = _place(this, session, id_)
        self._left[place] = this.disconnected
        try:
            yield
        finally:
            if self._left.get(place) is this.disconnected:
                del self._left[place]

    def cancel(self, this: Exchange, session: str | None, id_: object) -> None:
        """Ends the request of that session and key, where it runs in this process."""
        if session is None or not isinstance(id_, str | int):
            return
        if left := self._left.get(_place(this, session, id_)):
            left.set()


def _place(this: Exchange, session: str, id_: Id) -> tuple[str, str, Id]:
    return (this.caller.key.id if this.caller.key else "", session, id_)

"""What stands between the network and BentoML: the outermost ASGI layer.

It names the request, lets only known paths in, bounds and checks the body, notices a client that hangs up, and
gives every failure, BentoML's own included, the one shape. It knows nothing of pipelines.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import bentoml

from answerbox.errors import AnswerboxError, InternalError, PayloadTooLarge, UnsupportedMediaType
from answerbox.service import exchange, problems
from answerbox.service.exchange import ClientGone, Exchange
from answerbox.service.routes import match
from answerbox.settings import load_settings

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")


class EdgeService(bentoml.Service):  # type: ignore[misc]
    """A BentoML service with the edge around it, where it is the one that faces the network."""

    def to_asgi(self, is_main: bool = True) -> Any:
        app = super().to_asgi(is_main=is_main)
        if is_main:
            app.add_middleware(Edge, max_body_bytes=load_settings().max_body_bytes)
        return app


class Edge:
    def __init__(self, app: App, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        this = Exchange(_request_id(headers.get(b"x-request-id", b"")), scope["path"])
        answer = Answer(send, this)
        try:
            route, this.path_values = match(scope["method"], scope["path"])
            body = await self._body(route.method, headers, receive)
            # Metrics and logs below see the template: an id in a label would be a new series for each.
            await self._pass({**scope, "path": route.template}, body, receive, answer, this)
        except ClientGone:
            log.info("request %s: the client has gone", this.request_id)
        except AnswerboxError as exc:
            await answer.fail(exc)
        except Exception:
            log.exception("request %s failed", this.request_id)
            await answer.fail(InternalError("unexpected"))

    async def _body(self, method: str, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        if method == "POST":
            kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
            if kind != b"application/json":
                raise UnsupportedMediaType("The body must be JSON.", hint="Send Content-Type: application/json.")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self._max_body_bytes:
            raise self._too_large()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body += bytes(message.get("body", b""))
            if len(body) > self._max_body_bytes:
                raise self._too_large()
            if not message.get("more_body"):
                return body

    async def _pass(self, scope: Scope, body: bytes, receive: Receive, answer: Answer, this: Exchange) -> None:
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if unread:
                return unread.pop()
            await this.disconnected.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            this.disconnected.set()

        token = exchange.current.set(this)
        watching = asyncio.create_task(watch())
        try:
            await self._app(scope, replay, answer.send)
            await answer.finish()
        finally:
            watching.cancel()
            exchange.current.reset(token)

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The body is longer than {self._max_body_bytes} bytes.",
            hint="Send less at once, or raise ANSWERBOX_MAX_BODY_BYTES.",
            extra={"limit": self._max_body_bytes},
        )


class Answer:
    """The response on its way out. A failure that is not a problem document is held back and made one."""

    def __init__(self, send: Send, this: Exchange) -> None:
        self._send = send
        self._this = this
        self._held: int | None = None
        self._body = b""
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and not _is_problem(message):
                self._held = message["status"]
                return
            self.started = True
            kept = [pair for pair in message["headers"] if pair[0].lower() not in HIDDEN]
            message = {**message, "headers": [*kept, (b"x-request-id", self._this.request_id.encode())]}
        elif self._held is not None:
            self._body += message.get("body", b"")
            return
        await self._send(message)

    async def finish(self) -> None:
        if self._held is not None:
            status, self._held = self._held, None
            await self.fail(problems.from_framework(status, self._body))

    async def fail(self, error: AnswerboxError) -> None:
        """Sends the problem; too late for that, it ends the connection, so that nobody takes half for whole."""
        if self.started:
            raise error
        problems.log_bug(error, self._this.request_id)
        response = problems.response(error, self._this.request_id, self._this.path)
        self._held = None
        await response({"type": "http"}, _nothing, self.send)


HIDDEN = {b"server", b"x-bentoml-request-id", b"x-request-id"}


def _is_problem(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(problems.MEDIA_TYPE.encode())
        for name, value in message["headers"]
    )


def _request_id(given: bytes) -> str:
    """The caller's id where it is a harmless one, else ours."""
    text = given.decode("latin-1")
    return text if REQUEST_ID.fullmatch(text) else uuid.uuid4().hex


async def _nothing() -> Message:
    return {"type": "http.disconnect"}

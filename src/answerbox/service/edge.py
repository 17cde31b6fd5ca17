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
            settings = load_settings()
            app.add_middleware(Edge, max_body_bytes=settings.max_body_bytes, max_upload_bytes=settings.max_upload_bytes)
        return app


class Edge:
    def __init__(self, app: App, max_body_bytes: int, max_upload_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes

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
            if route.takes_files and _kind(headers) == b"multipart/form-data":
                self._check_length(headers, self._max_upload_bytes)
                body = _Body(receive, self._max_upload_bytes)
            else:
                self._check_type(route.method, headers)
                self._check_length(headers, self._max_body_bytes)
                body = _Body(receive, self._max_body_bytes)
                await body.read_all()
            # Metrics and logs below see the template: an id in a label would be a new series for each.
            await self._pass({**scope, "path": route.template}, body, answer, this)
        except ClientGone:
            log.info("request %s: the client has gone", this.request_id)
        except AnswerboxError as exc:
            await answer.fail(exc)
        except Exception:
            log.exception("request %s failed", this.request_id)
            await answer.fail(InternalError("unexpected"))

    def _check_type(self, method: str, headers: dict[bytes, bytes]) -> None:
        if method == "POST" and _kind(headers) != b"application/json":
            raise UnsupportedMediaType("The body must be JSON.", hint="Send Content-Type: application/json.")

    def _check_length(self, headers: dict[bytes, bytes], limit: int) -> None:
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)

    async def _pass(self, scope: Scope, body: _Body, answer: Answer, this: Exchange) -> None:
        async def receive() -> Message:
            if not body.passed_on:
                return await body.next()
            await this.disconnected.wait()
            return {"type": "http.disconnect"}

        async def watch() -> None:
            await body.until_gone()
            this.disconnected.set()

        token = exchange.current.set(this)
        watching = asyncio.create_task(watch())
        try:
            await self._app(scope, receive, answer.send)
            await answer.finish()
        finally:
            watching.cancel()
            exchange.current.reset(token)


class _Body:
    """A request's body on its way in, bounded: read at once, or passed on piece by piece."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._length = 0
        self._held: Message | None = None
        self._complete = asyncio.Event()
        self.passed_on = False

    async def read_all(self) -> None:
        """Raises: PayloadTooLarge, ClientGone."""
        pieces = []
        while not self._complete.is_set():
            pieces.append((await self._piece())["body"])
        self._held = {"type": "http.request", "body": b"".join(pieces), "more_body": False}

    async def next(self) -> Message:
        """Raises: PayloadTooLarge, ClientGone."""
        message = self._held or await self._piece()
        self.passed_on = not message["more_body"]
        return message

    async def until_gone(self) -> None:
        """Returns when the client hangs up after its body; before that, whoever reads the body notices."""
        await self._complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _piece(self) -> Message:
        message = await self._receive()
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


def _kind(headers: dict[bytes, bytes]) -> bytes:
    return headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()


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

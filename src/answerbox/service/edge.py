"""What stands between the network and BentoML: the outermost ASGI layer.

It names the request, lets only known paths and known keys in, bounds the body and the time, notices a client that
hangs up, and gives every failure, BentoML's own included, the one shape. It knows nothing of pipelines.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import uuid
from contextlib import ExitStack
from typing import Any

from starlette.datastructures import Headers as StarletteHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from answerbox import logs
from answerbox.errors import AnswerboxError, Forbidden, InternalError, NotServed, RouteNotFound, UnsupportedMediaType
from answerbox.service import exchange, problems
from answerbox.service.asgi import App, Message, Receive, Scope, Send
from answerbox.service.body import Body
from answerbox.service.exchange import ClientGone, Exchange
from answerbox.service.gate import Gate, Headers
from answerbox.service.heads import bound_heads
from answerbox.service.observers import Observers
from answerbox.service.reply import Reply
from answerbox.service.routes import Route, match
from answerbox.service.stopping import when_told_to_stop
from answerbox.service.timers import UntimedService
from answerbox.settings import Settings, load_settings
from answerbox.validation import invalid_request

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
SECONDS = re.compile(rb"[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")
SHORTEST_S = 0.1
CALLERS_HEADERS = ["Authorization", "X-API-Key", "X-Request-Id", "X-Request-Timeout", "Idempotency-Key", "Content-Type"]
CALLERS_HEADERS += ["Mcp-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name"]
NOT_SERVED = "Its operator chooses what it serves: ANSWERBOX_PIPELINES, ANSWERBOX_CUSTOM_PIPELINE."
OUR_HEADERS = ["X-Request-Id", "Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]
OUR_HEADERS += ["Mcp-Session-Id"]


class EdgeService(UntimedService):
    """A BentoML service with the edge around it, where it is the one that faces the network."""

    def to_asgi(self, is_main: bool = True) -> Any:
        app = super().to_asgi(is_main=is_main)
        if is_main:
            settings = load_settings()
            bound_heads(settings.body_silence_s)
            app.add_middleware(Edge, settings=settings)
            if settings.cors_origins:  # around the edge: a page may read problems too
                app.add_middleware(
                    Cors,
                    allow_origins=settings.cors_origins,
                    allow_credentials=settings.cors_credentials,
                    allow_methods=["GET", "POST", "DELETE"],
                    allow_headers=CALLERS_HEADERS,
                    expose_headers=OUR_HEADERS,
                )
        return app


class Edge:
    def __init__(self, app: App, settings: Settings) -> None:
        """Raises: SetupError (see `Gate`)."""
        self._app = app
        self._settings = settings
        self._served = settings.served
        self._gate = Gate(settings)
        self._observers = Observers(settings)
        self._closing = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other(scope, receive, send)
            return
        headers: Headers = dict(scope["headers"])
        this = self._exchange(scope, headers)
        logs.bind(this.trace)
        reply = Reply(send, this, self._settings.reader_silence_s)
        route: Route | None = None
        try:
            _check_once(scope, b"content-type")
            route, this.path_values = match(scope["method"], scope["path"])
            await self._let_in(scope, receive, reply, this, route, headers)
        except ClientGone:
            this.gone = True
        except AnswerboxError as exc:
            await reply.fail(exc)
        except Exception:
            log.exception("request %s failed", this.request_id)
            await reply.fail(InternalError("unexpected"))
        finally:
            self._observers.ended(this, scope, route, reply)

    def _exchange(self, scope: Scope, headers: Headers) -> Exchange:
        id_ = _request_id(headers.get(b"x-request-id", b""))
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        return Exchange(id_, scope["path"], self._settings.request_timeout_s, parent, closing=self._closing)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._close_in_time()
            try:
                await self._app(scope, receive, send)
            finally:
                await asyncio.to_thread(self._observers.close)
        elif scope["type"] == "websocket":
            error = RouteNotFound("There are no WebSockets here.", hint="Streams are server-sent events.")
            await problems.response(error, uuid.uuid4().hex, scope["path"])(scope, receive, send)

    def _close_in_time(self) -> None:
        """After a SIGTERM the server waits for requests that run: not for ever."""
        loop = asyncio.get_running_loop()
        when_told_to_stop(lambda: loop.call_later(self._settings.shutdown_s, self._closing.set))

    async def _let_in(
        self, scope: Scope, receive: Receive, reply: Reply, this: Exchange, route: Route, headers: Headers
    ) -> None:
        this.caller = self._gate.caller(route, headers)
        if route.needs and route.needs not in self._served:
            raise NotServed(f"This service does not serve {route.template}.", hint=NOT_SERVED)
        this.timeout_s = self._timeout(headers)
        with self._gate.place(this.caller, route), ExitStack() as held:
            this.takes_stream = lambda: held.enter_context(self._gate.stream(this.caller))
            this.let_in = True
            this.trace.name = route.name
            reply.window = await self._gate.count(this.caller)
            body = await self._body(receive, route, headers, this)
            try:
                await self._pass(scope, body, reply, this, route)
            finally:
                await self._gate.spend(this.caller, this.cost)

    async def _body(self, receive: Receive, route: Route, headers: Headers, this: Exchange) -> Body:
        settings = self._settings
        this.is_form = route.takes_files and _kind(headers) == b"multipart/form-data"
        if this.is_form:
            body = Body(receive, settings.max_upload_bytes, settings.body_silence_s)
            body.check_length(headers.get(b"content-length", b""))
            return body
        if route.method == "POST" and _kind(headers) != b"application/json":
            raise UnsupportedMediaType("The body must be JSON.", hint="Send Content-Type: application/json.")
        body = Body(receive, settings.max_body_bytes, settings.body_silence_s)
        body.check_length(headers.get(b"content-length", b""))
        await body.read_all(this.remaining(), this.timeout_s)
        return body

    async def _pass(self, scope: Scope, body: Body, reply: Reply, this: Exchange, route: Route) -> None:
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
            # Metrics and logs below see the template: an id in a label would be a new series for each.
            await self._app({**scope, "path": route.template, "headers": _inner(scope, this)}, receive, reply.send)
            await reply.finish()
        finally:
            watching.cancel()
            exchange.current.reset(token)

    def _timeout(self, headers: Headers) -> float:
        """What the request asks for, in seconds. Raises: InvalidRequest."""
        given = headers.get(b"x-request-timeout")
        if given is None:
            return self._settings.request_timeout_s
        longest = self._settings.max_request_timeout_s
        seconds = float(given) if SECONDS.fullmatch(given) else math.nan
        if not SHORTEST_S <= seconds <= longest:
            bound = f"a number of seconds from {SHORTEST_S:g} to {longest:g}"
            raise invalid_request([{"field": "X-Request-Timeout", "message": bound}])
        return seconds


def _inner(scope: Scope, this: Exchange) -> list[tuple[bytes, bytes]]:
    """The headers with the ids in the place of a caller's `baggage`, so that they reach the other services' logs."""
    return [*(pair for pair in scope["headers"] if pair[0] != b"baggage"), logs.carried(this.trace)]


def _check_once(scope: Scope, name: bytes) -> None:
    """What stands twice, one part of the service could read and another not. Raises: UnsupportedMediaType."""
    if sum(header == name for header, _ in scope["headers"]) > 1:
        raise UnsupportedMediaType(f"The header {name.decode()} stands twice.", hint="Send it once.")


class Cors(CORSMiddleware):
    """Its refusals have the one shape, too."""

    def preflight_response(self, request_headers: StarletteHeaders) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        error = Forbidden(
            "Pages of this origin may not call the service like this.", hint="See ANSWERBOX_CORS_ORIGINS."
        )
        return problems.response(error, uuid.uuid4().hex, "*")


def _kind(headers: Headers) -> bytes:
    return headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()


def _request_id(given: bytes) -> str:
    """The caller's id where it is a harmless one, else ours."""
    text = given.decode("latin-1")
    return text if REQUEST_ID.fullmatch(text) else uuid.uuid4().hex

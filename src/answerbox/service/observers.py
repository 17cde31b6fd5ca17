"""Who is told of a request that has ended: the metrics, the log, and the backends of traces."""

from __future__ import annotations

import logging

from answerbox import app, logs
from answerbox.service import metrics
from answerbox.service.asgi import Scope
from answerbox.service.exchange import Exchange
from answerbox.service.reply import Reply
from answerbox.service.routes import Route
from answerbox.settings import Settings

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""As nginx has it: nobody was there to get an answer."""


class Observers:
    """Nothing that goes wrong here reaches a caller."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tracer = app.tracer(settings, metrics.SPANS_DROPPED.inc, metrics.SPANS_SENT.inc)

    def ended(self, this: Exchange, scope: Scope, route: Route | None, reply: Reply) -> None:
        try:
            self._ended(this, scope, route, reply)
        except Exception:
            log.exception("the end of request %s was not recorded", this.request_id)

    def close(self) -> None:
        """Blocks for some seconds at most."""
        if self._tracer:
            self._tracer.close()

    def _ended(self, this: Exchange, scope: Scope, route: Route | None, reply: Reply) -> None:
        trace = this.trace
        trace.end(CLIENT_GONE if this.gone or not reply.ended else reply.status, this.error)
        metrics.observe_request(trace, route)
        logs.log_request(
            self._settings,
            trace,
            scope["method"],
            route.template if route else scope["path"],
            client=scope["client"][0] if scope.get("client") else None,
            key=this.caller.key.name if this.caller.key else None,
            probe=route is not None and route.is_probe,
        )
        if self._tracer and route and (route.is_traced or this.is_traced) and this.let_in:
            self._tracer.record(trace)

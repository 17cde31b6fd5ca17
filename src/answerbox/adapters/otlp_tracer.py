"""Traces on their way to where people look at them: the port `Tracer` over OTLP.

Traces come complete, after the request. Langfuse's own client is made for spans that open and close while code runs;
it is one for a whole process, takes values from a caller's `baggage`, and its end has no limit. So spans are built from
the trace and given to OpenTelemetry's exporter.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from answerbox.adapters.otlp_backend import BATCH_SPANS, Backend, Outcome, span_batches
from answerbox.adapters.trace_snapshot import Snapshot
from answerbox.adapters.trace_spans import SpanMaker
from answerbox.traces import Trace

log = logging.getLogger(__name__)

Count = Callable[[int], None]

MAX_TRACES = 1_000
MAX_BYTES = 64 * 2**20
"""Of the traces that wait for one backend, in memory."""
DELAY_S = 1.0
CLOSE_S = 2.0
LOG_EVERY_S = 60.0

FULL = "more is to be sent than it takes"
OVER = "the service has ended"
UNFIT = "what was recorded is no trace"


class OtlpTracer:
    """Made once in each process that serves, after it has forked: threads do not come along.

    `sample` is the share of traces that is sent, chosen by their id, so the same everywhere; failures always are.
    `on_dropped` and `on_sent` are called with numbers of spans, from any thread, for each backend.
    """

    def __init__(
        self,
        backends: Sequence[Backend],
        maker: SpanMaker,
        *,
        sample: float = 1.0,
        content: bool = True,
        on_dropped: Count | None = None,
        on_sent: Count | None = None,
        max_traces: int = MAX_TRACES,
    ) -> None:
        self._maker = maker
        self._bound = TraceIdRatioBased.get_bound_for_rate(sample)
        self._content = content
        self._senders = [_Sender(each, on_dropped, on_sent, max_traces) for each in backends]

    def record(self, trace: Trace) -> None:
        """Returns at once (a part of a millisecond), and never raises: what cannot be sent is dropped and counted."""
        try:
            if not self._wanted(trace):
                return
            waiting = _Waiting(Snapshot(trace, self._maker.chars, self._content), self._maker)
            for sender in self._senders:
                sender.take(waiting)
        except Exception:
            for sender in self._senders:
                sender.drop(1, UNFIT)

    def close(self) -> None:
        """Sends what is left, for two seconds at most; what is left then is dropped. Blocking."""
        end = time.monotonic() + CLOSE_S
        for sender in self._senders:
            sender.finish()
        for sender in self._senders:
            sender.join(end)

    def _wanted(self, trace: Trace) -> bool:
        return bool(trace.root.error) or int(trace.trace_id, 16) & TraceIdRatioBased.TRACE_ID_LIMIT < self._bound


class _Waiting:
    """A trace that waits. It becomes spans once, in the thread of the backend that comes first."""

    def __init__(self, snapshot: Snapshot, maker: SpanMaker) -> None:
        self.size = snapshot.size
        self.count = len(snapshot.trace.observations)
        self._trace: Trace | None = snapshot.trace
        self._maker = maker
        self._spans: list[ReadableSpan] = []
        self._lock = threading.Lock()

    def spans(self) -> list[ReadableSpan]:
        """Empty where the trace has ids or times that no span can have."""
        with self._lock:
            trace, self._trace = self._trace, None
            if trace:
                with suppress(Exception):
                    self._spans = self._maker.spans(trace)
            return self._spans


class _Sender:
    """The line of traces before one backend, and the thread that sends them: a slow backend holds up no other."""

    def __init__(self, backend: Backend, on_dropped: Count | None, on_sent: Count | None, max_traces: int) -> None:
        self._backend = backend
        self._on_dropped, self._on_sent = on_dropped, on_sent
        self._max_traces = max_traces
        self._line: deque[_Waiting] = deque()
        self._bytes = self._spans = self._in_flight = 0
        self._closing = self._abandoned = False
        self._ready = threading.Condition()
        self._untold, self._told_at = 0, -LOG_EVERY_S
        self._thread = threading.Thread(target=self._run, name="answerbox-traces", daemon=True)
        self._thread.start()

    def take(self, waiting: _Waiting) -> None:
        with self._ready:
            full = len(self._line) >= self._max_traces or self._bytes + waiting.size > MAX_BYTES
            if not full and not self._closing:
                self._line.append(waiting)
                self._bytes += waiting.size
                self._spans += waiting.count
                if len(self._line) == 1 or self._spans >= BATCH_SPANS:
                    self._ready.notify()
                return
        self.drop(waiting.count, OVER if self._closing else FULL)

    def finish(self) -> None:
        with self._ready:
            self._closing = True
            self._ready.notify()

    def join(self, end: float) -> None:
        """Waits for the thread until then, by `time.monotonic`."""
        self._thread.join(max(end - time.monotonic(), 0))
        with self._ready:
            self._abandoned = True
            lost = self._spans + self._in_flight
            self._line.clear()
            self._bytes = self._spans = self._in_flight = 0
        self._backend.close()
        if lost:
            self.drop(lost, OVER)

    def _run(self) -> None:
        while batch := self._next():
            unfit = sum(each.count for each in batch if not each.spans())
            if unfit:
                self._settle(unfit, None)
            spans = (span for each in batch for span in each.spans())
            for chunk in span_batches(spans):
                if not self._abandoned:
                    self._settle(len(chunk), self._backend.export(chunk))

    def _next(self) -> list[_Waiting]:
        """Empty at the end."""
        with self._ready:
            self._ready.wait_for(lambda: self._line or self._closing)
            self._ready.wait_for(lambda: self._spans >= BATCH_SPANS or self._closing, DELAY_S)
            batch, spans = [], 0
            while self._line and spans < BATCH_SPANS:
                batch.append(self._line.popleft())
                spans += batch[-1].count
                self._bytes -= batch[-1].size
            self._spans -= spans
            self._in_flight = spans
            return batch

    def _settle(self, spans: int, outcome: Outcome | None) -> None:
        with self._ready:
            if self._abandoned:  # then they are counted as dropped
                return
            self._in_flight -= spans
        if outcome and outcome.taken:
            _call(self._on_sent, spans)
        else:
            self.drop(spans, str(outcome or UNFIT))

    def drop(self, spans: int, reason: str) -> None:
        _call(self._on_dropped, spans)
        with self._ready:
            self._untold += spans
            if time.monotonic() - self._told_at < LOG_EVERY_S:
                return
            self._told_at = time.monotonic()
            lost, self._untold = self._untold, 0
        backend = self._backend
        log.warning("%d spans of traces did not reach %s at %s: %s", lost, backend.kind, backend.place, reason)


def _call(count: Count | None, spans: int) -> None:
    try:
        if count:
            count(spans)
    except Exception:
        log.exception("a count of traces failed")

"""Traces on their way, over real HTTP: what arrives, and that no backend that fails slows or fills anything."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import psutil
import pytest
from pydantic import SecretStr

from answerbox import __version__, app
from answerbox.adapters import otlp_tracer
from answerbox.adapters.otlp_backend import TIMEOUT_S, Backend, LangfuseSession, Outcome, Session, backends
from answerbox.adapters.otlp_tracer import FULL, MAX_BYTES, OtlpTracer
from answerbox.adapters.trace_spans import SpanMaker
from answerbox.errors import InternalError
from answerbox.ports import Tracer
from answerbox.settings import Settings
from answerbox.traces import Trace, trace_id_of, trace_of
from tests.live import free_port, wait_until
from tests.otlp_receiver import Receiver, otlp_receiver

SECRET_KEY = SecretStr("sk-lf-2")
LANGFUSE_PATH = "/api/public/otel/v1/traces"
QUICK_S = 1.0
SPANS = 3
"""Of `a_trace`."""


@dataclass
class Counts:
    sent: int = 0
    dropped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on_sent(self, spans: int) -> None:
        with self.lock:
            self.sent += spans

    def on_dropped(self, spans: int) -> None:
        with self.lock:
            self.dropped += spans

    def settled(self) -> int:
        return self.sent + self.dropped


@pytest.fixture(autouse=True)
def no_settings_of_a_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_BASE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_tracer, "DELAY_S", 0.05)


@pytest.fixture
def short_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """For backends that will not take what is left."""
    monkeypatch.setattr(otlp_tracer, "CLOSE_S", 0.2)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as found:
        yield found


@pytest.fixture
def counts() -> Counts:
    return Counts()


def a_trace(text: str = "Who?", request_id: str = "request-1") -> Trace:
    trace = trace_of("rag", request_id)
    trace.user_id = "user-1"
    with trace.step("search", "retriever") as step:
        step.output = text
    with trace.step("generate", "generation") as step:
        step.output = text
    trace.root.input = text
    trace.end(200)
    return trace


def to_otlp(url: str, counts: Counts, sample: float = 1.0, max_traces: int = 1_000) -> OtlpTracer:
    backend = Backend("OTLP", f"{url}/v1/traces", Session(), QUICK_S)
    return OtlpTracer(
        [backend],
        SpanMaker(),
        sample=sample,
        on_dropped=counts.on_dropped,
        on_sent=counts.on_sent,
        max_traces=max_traces,
    )


def took_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def test_a_trace_arrives_as_a_tree(receiver: Receiver, counts: Counts) -> None:
    trace = a_trace()
    with closing(to_otlp(receiver.url, counts)) as tracer:
        tracer.record(trace)
        receiver.wait_for_spans(SPANS)
    [root] = receiver.traces()[trace.trace_id]
    assert [span.name for span in root.walk()] == ["rag", "search", "generate"]
    assert {span.attributes["user.id"] for span in root.walk()} == {"user-1"}
    assert (counts.sent, counts.dropped) == (SPANS, 0)


def test_what_is_left_is_sent_at_the_end(receiver: Receiver, counts: Counts) -> None:
    tracer = to_otlp(receiver.url, counts)
    tracer.record(a_trace())
    assert took_ms(tracer.close) < 3_000
    assert len(receiver.spans) == SPANS
    tracer.close()
    tracer.record(a_trace())
    assert (counts.sent, counts.dropped) == (SPANS, SPANS)


def test_traces_are_sent_together_but_not_too_many_in_one_request(receiver: Receiver, counts: Counts) -> None:
    with closing(to_otlp(receiver.url, counts)) as tracer:
        for number in range(400):
            tracer.record(a_trace(request_id=f"request-{number}"))
    assert counts.sent == 400 * SPANS
    assert max(len(request.spans) for request in receiver.exports) <= 512
    assert len(receiver.exports) < 10


def test_long_traces_are_sent_in_several_requests(receiver: Receiver, counts: Counts) -> None:
    with closing(to_otlp(receiver.url, counts)) as tracer:
        for number in range(100):
            tracer.record(a_trace("x" * 8_000, request_id=f"request-{number}"))
    assert counts.sent == 100 * SPANS
    assert len(receiver.exports) >= 3


@pytest.fixture
def both(receiver: Receiver) -> Iterator[tuple[Receiver, Receiver, Tracer]]:
    """Langfuse, the other backend, and what sends to both."""
    with otlp_receiver() as other:
        settings = Settings(
            langfuse_public_key="pk-lf-1",
            langfuse_secret_key=SECRET_KEY,
            langfuse_base_url=receiver.url + "/",
            otlp_endpoint=other.url,
        )
        tracer = app.tracer(settings)
        assert tracer
        with closing(tracer):
            yield receiver, other, tracer


def test_both_backends_get_the_same_spans(both: tuple[Receiver, Receiver, Tracer]) -> None:
    langfuse, other, tracer = both
    trace = a_trace()
    tracer.record(trace)
    assert langfuse.wait_for_spans(SPANS) == other.wait_for_spans(SPANS)
    assert [request.path for request in langfuse.exports] == [LANGFUSE_PATH]
    assert [request.path for request in other.exports] == ["/v1/traces"]


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"])
def test_no_backend_sees_what_is_for_the_other(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "authorization=Bearer%20other,x-own=secret,x-langfuse-ingestion-version=1")
    with otlp_receiver() as langfuse, otlp_receiver() as other:
        tracer = app.tracer(
            Settings(
                langfuse_public_key="pk-lf-1",
                langfuse_secret_key=SECRET_KEY,
                langfuse_base_url=langfuse.url,
                otlp_endpoint=other.url,
            )
        )
        assert tracer
        with closing(tracer):
            tracer.record(a_trace())
        [to_langfuse], [to_other] = langfuse.exports, other.exports
    assert to_langfuse.headers["authorization"] == "Basic " + base64.b64encode(b"pk-lf-1:sk-lf-2").decode()
    assert to_langfuse.headers["x-langfuse-ingestion-version"] == "4"
    assert to_langfuse.headers["content-type"] == "application/x-protobuf"
    assert to_langfuse.headers["content-encoding"] == "gzip"
    assert to_langfuse.headers["user-agent"] == f"answerbox/{__version__}"
    assert "x-own" not in to_langfuse.headers
    assert to_other.headers["authorization"] == "Bearer other"
    assert to_other.headers["x-own"] == "secret"
    assert "pk-lf" not in repr(to_other.headers)


def test_certificates_of_the_other_backend_are_not_for_langfuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "other.pem")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "client.pem")
    session = LangfuseSession("pk", "sk")
    backend = Backend("Langfuse", "https://localhost/api", session)
    assert (session.verify, session.cert) == (True, None)
    backend.close()


def test_without_a_backend_there_is_no_tracer() -> None:
    assert app.tracer(Settings()) is None
    assert app.tracer(Settings(langfuse_public_key="pk")) is None


def test_an_address_may_have_a_path_and_secrets() -> None:
    [backend] = backends(Settings(otlp_endpoint="https://user:password@host:4318/base/v1/traces"))
    assert backend.place == "https://host:4318"
    backend.close()


@pytest.mark.usefixtures("short_end")
def test_a_slow_backend_does_not_hold_up_the_other(both: tuple[Receiver, Receiver, Tracer]) -> None:
    langfuse, other, tracer = both
    langfuse.mode = "hang"
    for number in range(3):
        tracer.record(a_trace(request_id=f"request-{number}"))
        other.wait_for_spans((number + 1) * SPANS, 2.5)


WAITED_MS = 100
"""A backend that is waited for costs a second or more; a busy machine costs some milliseconds."""
FAILING = ["dead", "hang", "status:500", "status:429", "retryafter:600", "status:302"]


@pytest.mark.usefixtures("short_end")
@pytest.mark.parametrize("mode", FAILING)
def test_a_backend_that_fails_costs_nobody_time_and_one_line(
    mode: str, receiver: Receiver, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.mode = mode
    tracer = to_otlp(f"http://127.0.0.1:{free_port()}" if mode == "dead" else receiver.url, counts)
    traces = [a_trace("x" * 20_000) for _ in range(100)]
    assert median(took_ms(partial(tracer.record, trace)) for trace in traces) < WAITED_MS
    wait_until(lambda: receiver.exports or counts.dropped, QUICK_S + 5, "it was tried")
    assert took_ms(tracer.close) < 1_000
    assert (counts.sent, counts.dropped) == (0, 100 * SPANS)
    assert len(caplog.records) == 1
    assert caplog.records[0].name == otlp_tracer.__name__
    assert "x" * 10 not in caplog.text


def test_the_end_of_the_service_is_not_held_up_by_a_backend_that_hangs(
    receiver: Receiver, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp_tracer, "DELAY_S", 1.0)  # as it is
    receiver.mode = "hang"
    [backend] = backends(Settings(otlp_endpoint=receiver.url))
    tracer = OtlpTracer([backend], SpanMaker(), on_dropped=counts.on_dropped)
    tracer.record(a_trace())
    wait_until(lambda: receiver.exports, 5, "it was tried")
    assert took_ms(tracer.close) < 3_000
    assert counts.dropped == SPANS


def test_an_export_ends_in_time(receiver: Receiver) -> None:
    receiver.mode = "status:503"  # which the exporter tries again
    [backend] = backends(Settings(otlp_endpoint=receiver.url))
    spans = SpanMaker().spans(a_trace())
    outcomes: list[Outcome] = []
    assert took_ms(lambda: outcomes.append(backend.export(spans))) < (TIMEOUT_S + 1) * 1_000
    assert outcomes == [Outcome(False, 503, "refused")]
    assert len(receiver.exports) > 1
    backend.close()


def test_after_an_outage_traces_arrive_again(receiver: Receiver, counts: Counts) -> None:
    receiver.mode = "status:500"
    with closing(to_otlp(receiver.url, counts)) as tracer:
        tracer.record(a_trace())
        wait_until(lambda: counts.dropped, 5, "the first is lost")
        receiver.mode = "ok"
        tracer.record(a_trace())
        receiver.wait_for_spans(SPANS)


@pytest.mark.usefixtures("short_end")
def test_a_full_line_drops_what_comes_and_counts_it(
    receiver: Receiver, counts: Counts, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.mode = "hang"
    tracer = to_otlp(receiver.url, counts, max_traces=10)
    for _ in range(50):
        tracer.record(a_trace())
    assert counts.dropped == 40 * SPANS
    assert FULL in caplog.text
    tracer.close()
    assert counts.dropped == 50 * SPANS


@pytest.mark.usefixtures("short_end")
def test_a_thousand_long_traces_take_little_memory(receiver: Receiver, counts: Counts) -> None:
    receiver.mode = "hang"
    tracer = to_otlp(receiver.url, counts)
    before = psutil.Process().memory_info().rss
    for number in range(1_000):
        tracer.record(a_trace("ы" * 20_000 + str(number)))
    assert psutil.Process().memory_info().rss - before < 3 * MAX_BYTES  # 192 MiB
    tracer.close()


def test_whole_traces_are_chosen_by_their_id_and_failures_always(receiver: Receiver, counts: Counts) -> None:
    traces = [a_trace(request_id=f"request-{number}") for number in range(200)]
    with closing(to_otlp(receiver.url, counts, sample=0.3)) as tracer:
        for trace in traces:
            tracer.record(trace)
    first = receiver.traces()
    assert 30 < len(first) < 90
    assert {len(list(root.walk())) for [root] in first.values()} == {SPANS}
    assert counts.sent == len(first) * SPANS
    assert counts.dropped == 0
    with closing(to_otlp(receiver.url, counts, sample=0.3)) as tracer:
        for trace in reversed(traces):
            tracer.record(trace)
    assert set(receiver.traces()) == set(first)


def test_a_failure_is_sent_whatever_the_share(receiver: Receiver, counts: Counts) -> None:
    with closing(to_otlp(receiver.url, counts, sample=0.0)) as tracer:
        tracer.record(a_trace())
        failed = a_trace(request_id="failed")
        failed.end(500, InternalError("no"))
        tracer.record(failed)
    assert list(receiver.traces()) == [trace_id_of("failed")]


def test_a_trace_that_cannot_be_sent_harms_no_other(receiver: Receiver, counts: Counts) -> None:
    broken, late, hostile = a_trace(), a_trace(), a_trace("a\ud800\x00\u202e")
    broken.trace_id, late.began_at = "no id", float("inf")
    hostile.name, hostile.user_id, hostile.root.detail = "n\ud800", "u\ud800", {"k\ud800": 10**400}
    with closing(to_otlp(receiver.url, counts)) as tracer:
        for trace in (broken, late, hostile, a_trace(request_id="good")):
            tracer.record(trace)
    assert len(receiver.exports) == 1
    assert counts.sent == 2 * SPANS
    assert counts.dropped == 1 + SPANS


def test_counts_that_fail_harm_nothing(receiver: Receiver) -> None:
    def fail(_: int) -> None:
        raise RuntimeError

    backend = Backend("OTLP", f"{receiver.url}/v1/traces", Session())
    with closing(OtlpTracer([backend], SpanMaker(), on_dropped=fail, on_sent=fail)) as tracer:
        tracer.record(a_trace())
        receiver.wait_for_spans(SPANS)
        tracer.record(a_trace())
    assert len(receiver.spans) == 2 * SPANS


def test_an_exporter_of_others_may_still_tell_its_failures(receiver: Receiver, counts: Counts) -> None:
    to_otlp(receiver.url, counts).close()
    logger = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    assert logger.filter(logger.makeRecord(logger.name, logging.ERROR, "", 0, "failed", (), None))


def test_an_outcome_says_what_happened() -> None:
    assert str(Outcome(False, 401, "refused")) == "HTTP 401"
    assert str(Outcome(False, None, "tls")) == "tls"

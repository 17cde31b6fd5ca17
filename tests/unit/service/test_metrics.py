"""What of a request becomes a metric, and that no caller can make new label values."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from answerbox.breaker import Breaker
from answerbox.contracts import GroundingMode
from answerbox.errors import DeadlineExceeded, EmbedderUnavailable, IndexUnavailable, InvalidRequest, Overloaded
from answerbox.retrying import RetryBudget, retrying
from answerbox.service import metrics
from answerbox.service.metrics_table import filled, table
from answerbox.service.routes import ROUTES, Route, match
from answerbox.traces import Kind, Observation, Trace

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"
PHASES = ("queue", "prefill", "decode", "total")
LLM, RAG, SEARCH = (match("POST", path)[0] for path in ("/llm_query", "/rag_query/stream", "/search"))


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"answerbox_{name}", labels) or 0.0


class Growth:
    """By how much samples have grown since the test began."""

    def __init__(self) -> None:
        self._before = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        before = self._before.get((f"answerbox_{name}", frozenset(labels.items())), 0.0)
        return value(name, **labels) - before


@pytest.fixture
def grown() -> Growth:
    return Growth()


def a_trace(status: int = 200, took_ms: float = 900.0, **root: Any) -> Trace:
    trace = Trace("rag_query", "request-1", "0" * 31 + "1", status=status)
    trace.root.duration_ms = took_ms
    for name, content in root.items():
        setattr(trace.root, name, content)
    return trace


def a_step(
    trace: Trace, name: str, start_ms: float, duration_ms: float, kind: Kind = "span", **more: Any
) -> Observation:
    step = Observation(name, kind, start_ms, trace.root, duration_ms, **more)
    trace.observations.append(step)
    return step


def seconds(grown: Growth, pipeline: str, step: str) -> float | None:
    """Of the only observation; None where there was none."""
    count = grown("step_duration_seconds_count", pipeline=pipeline, step=step)
    assert count in (0, 1)
    return round(grown("step_duration_seconds_sum", pipeline=pipeline, step=step), 4) if count else None


def test_an_answer_has_its_steps_its_tokens_and_how_it_was_made(grown: Growth) -> None:
    trace = a_trace(detail={"grounding": "quoted"})
    trace.degraded = ["vectors", "passages_dropped"]
    for name, took_ms in (("search", 200.0), ("words", 50.0), ("embed", 80.0), ("vectors", 20.0), ("rank", 10.0)):
        a_step(trace, name, 10, took_ms)
    usage, detail = {"input": 40, "output": 11, "total": 51}, {"queue_ms": 30.0, "first_token_ms": 90.0, "batch": 3}
    a_step(trace, "generate", 210, 600, "generation", usage=usage, first_token_ms=310.0, detail=detail)
    metrics.observe_request(trace, RAG)
    took = {"search": 0.2, "words": 0.05, "embed": 0.08, "vectors": 0.02, "rank": 0.01, "generate": 0.6}
    took |= {"queue": 0.03, "prefill": 0.06, "decode": 0.5, "total": 0.9}
    assert {step: seconds(grown, "rag", step) for step in took} == took
    assert grown("time_to_first_token_seconds_sum", pipeline="rag") == pytest.approx(0.31)
    assert grown("time_per_token_seconds_sum", pipeline="rag") == pytest.approx(0.05)
    assert grown("tokens_total", pipeline="rag", direction="input") == 40
    assert grown("tokens_total", pipeline="rag", direction="output") == 11
    assert grown("generation_batch_rows_sum", pipeline="rag") == 3
    assert grown("groundings_total", mode="quoted") == 1
    assert grown("degraded_total", pipeline="rag", part="vectors") == 1
    assert grown("degraded_total", pipeline="rag", part="passages_dropped") == 1
    assert grown("requests_total", route="rag_query", method="POST", pipeline="rag", status="2xx") == 1


def test_an_engine_that_tells_nothing_of_its_line_has_all_of_it_in_prefill(grown: Growth) -> None:
    trace = a_trace()
    a_step(trace, "generate", 100, 500, "generation", usage={"input": 5, "output": 1}, first_token_ms=250.0)
    metrics.observe_request(trace, LLM)
    assert [seconds(grown, "llm", step) for step in ("queue", "prefill", "decode")] == [None, 0.15, 0.35]
    assert grown("time_per_token_seconds_count", pipeline="llm") == 0


def test_a_generation_that_failed_before_its_first_token_has_no_latency(grown: Growth) -> None:
    trace = a_trace(503, error=Overloaded.code)
    a_step(trace, "generate", 100, 5, "generation", error=Overloaded.code, usage={"input": 0, "output": 0})
    metrics.observe_request(trace, LLM)
    assert [seconds(grown, "llm", step) for step in ("generate", "prefill", "total")] == [None, None, None]
    assert grown("errors_total", route="llm_query", code="overloaded") == 1
    assert grown("time_to_first_token_seconds_count", pipeline="llm") == 0


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        pytest.param(200, None, "2xx", id="answered"),
        pytest.param(422, InvalidRequest.code, "4xx", id="wrong"),
        pytest.param(504, DeadlineExceeded.code, "5xx", id="too-late"),
        pytest.param(200, DeadlineExceeded.code, "5xx", id="a-stream-that-failed-in-the-middle"),
        pytest.param(499, None, "client_gone", id="nobody-waits"),
        pytest.param(499, IndexUnavailable.code, "5xx", id="cut-off-because-it-failed"),
        pytest.param(0, None, "other", id="never-said"),
    ],
)
def test_the_status_is_that_of_the_outcome(grown: Growth, status: int, error: str | None, expected: str) -> None:
    metrics.observe_request(a_trace(status, error=error), SEARCH)
    assert grown("requests_total", route="search", method="POST", pipeline="search", status=expected) == 1
    assert seconds(grown, "search", "total") == (0.9 if expected == "2xx" else None)


def test_a_path_that_there_is_not_has_no_label_of_its_own(grown: Growth) -> None:
    metrics.observe_request(a_trace(404, error="route_not_found"), None)
    assert grown("requests_total", route="unknown", method="other", pipeline="none", status="4xx") == 1
    assert grown("errors_total", route="unknown", code="route_not_found") == 1


def test_probes_are_counted_and_have_no_part_in_latencies(grown: Growth) -> None:
    for path in ("/readyz", "/documents"):
        metrics.observe_request(a_trace(), match("GET", path)[0])
    assert grown("requests_total", route="readyz", method="GET", pipeline="none", status="2xx") == 1
    assert grown("request_duration_seconds_count", route="readyz", method="GET") == 0
    assert grown("request_duration_seconds_count", route="documents", method="GET") == 1


text = st.text(max_size=20)
numbers = st.one_of(st.none(), st.floats(-1e9, 1e9), text)
steps = st.builds(
    Observation,
    name=st.one_of(text, st.sampled_from(sorted(metrics.STEPS))),
    kind=st.sampled_from(get_args(Kind)),
    start_ms=st.floats(-1e6, 1e6),
    duration_ms=st.floats(-1e6, 1e6),
    usage=st.dictionaries(st.sampled_from(["input", "output", "total"]), st.integers(-5, 10**6)),
    first_token_ms=st.one_of(st.none(), st.floats(-1e6, 1e6)),
    detail=st.dictionaries(st.sampled_from(["queue_ms", "first_token_ms", "batch"]), numbers),
    error=st.one_of(st.none(), text),
)


@given(
    route=st.one_of(st.none(), st.sampled_from(ROUTES)),
    status=st.integers(-1, 2_000),
    error=st.one_of(st.none(), text),
    degraded=st.lists(text, max_size=3),
    grounding=numbers,
    observed=st.lists(steps, max_size=3),
)
def test_whatever_happens_labels_have_few_values(
    route: Route | None,
    status: int,
    error: str | None,
    degraded: list[str],
    grounding: object,
    observed: list[Observation],
) -> None:
    trace = a_trace(status, error=error, detail={"grounding": grounding})
    trace.degraded, trace.user_id = degraded, "a user"
    trace.observations += observed
    metrics.observe_request(trace, route)
    assert _strange_labels() == {}


def _strange_labels() -> dict[str, set[str]]:
    allowed = {
        "route": {route.name or "root" for route in ROUTES} | {"unknown"},
        "method": {"GET", "POST", "DELETE", "other"},
        "pipeline": {"llm", "rag", "agent", "custom", "search", "none"},
        "status": {f"{digit}xx" for digit in range(1, 6)} | {"client_gone", "other"},
        "code": {*metrics.STATUS, "other"},
        "step": {*metrics.STEPS, *PHASES, "other"},
        "direction": {"input", "output"},
        "mode": {*get_args(GroundingMode), "other"},
        "part": {*metrics.DEGRADED_PARTS, *metrics.PARTS, "ledger", "other"},
    }
    found: dict[str, set[str]] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples if metric.name.startswith("answerbox_") else ():
            for label, content in sample.labels.items():
                if label in allowed and content not in allowed[label]:
                    found.setdefault(label, set()).add(content)
    return found


def test_a_breaker_shows_when_it_opens_and_when_it_closes(grown: Growth) -> None:
    now = 0.0
    breaker = Breaker(failures=2, rest_s=5, clock=lambda: now)
    shown = []
    for failure in (IndexUnavailable("away"), IndexUnavailable("away"), None):
        now += 10
        _call(breaker, failure)
        shown.append(value("breaker_open", part="index"))
    assert shown == [0, 1, 0]
    assert grown("breaker_opened_total", part="index") == 1


def _call(breaker: Breaker, failure: Exception | None) -> None:
    try:
        with breaker.around():
            if failure:
                raise failure
    except IndexUnavailable:
        pass


async def test_what_is_done_again_is_counted_by_its_failure(grown: Growth) -> None:
    failures: list[Exception] = [EmbedderUnavailable("away"), EmbedderUnavailable("away")]
    async for attempt in retrying(RetryBudget(), pause=lambda _: asyncio.sleep(0)):
        with attempt:
            _fail_while_there_are(failures)
    assert grown("retries_total", code="embedder_unavailable") == 2


def _fail_while_there_are(failures: list[Exception]) -> None:
    if failures:
        raise failures.pop()


def test_every_metric_has_a_name_of_ours_and_stands_in_the_page() -> None:
    page = PAGE.read_text()
    assert page == filled(page), "run `python -m answerbox.service.metrics_table docs/observability.md`"
    rows = table().splitlines()[2:]
    assert len(rows) > 30
    assert all(row.startswith("| `answerbox_") for row in rows)

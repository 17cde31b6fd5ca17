"""The record of a request: whose trace it is, what its steps say, also of a failure and of another process."""

from __future__ import annotations

import asyncio

import pytest
from langfuse import Langfuse

from answerbox.contracts import Step
from answerbox.errors import IndexUnavailable
from answerbox.traces import CANCELLED, Trace, trace_id_of, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_callers_trace_is_ours_too() -> None:
    trace = trace_of("rag_query", "request-1", f"00-{TRACE}-{SPAN}-01")
    assert (trace.trace_id, trace.parent_id) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\r\nx: y",
        "user=evil",
    ],
)
def test_what_is_no_traceparent_is_passed_over(header: str) -> None:
    trace = trace_of("rag_query", "request-1", header)
    assert (trace.trace_id, trace.parent_id) == (trace_id_of("request-1"), None)


@pytest.mark.parametrize("request_id", ["request-1", "0" * 32, "ид"])
def test_an_id_tells_the_trace_as_langfuses_own_function_does(request_id: str) -> None:
    assert trace_id_of(request_id) == Langfuse.create_trace_id(seed=request_id)


def test_an_id_that_has_the_form_of_a_trace_id_is_one() -> None:
    assert trace_id_of(TRACE) == TRACE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IndexUnavailable("down"), "index_unavailable"),
        (asyncio.CancelledError(), CANCELLED),
        (GeneratorExit(), CANCELLED),
        (ZeroDivisionError("secret"), "internal"),
    ],
)
def test_a_step_that_fails_is_recorded_with_the_code(error: BaseException, code: str) -> None:
    trace = Trace("rag_query", "request-1", TRACE)
    with pytest.raises(type(error)), trace.step("search", "retriever"):
        raise error
    step = trace.observations[1]
    assert (step.name, step.kind, step.error, step.parent) == ("search", "retriever", code, trace.root)


def test_steps_of_another_process_stand_within_ours() -> None:
    trace = Trace("rag_query", "request-1", TRACE)
    with trace.step("search", "retriever") as search:
        told = Step(name="embed", start_ms=2.0, duration_ms=3.0, detail={"batch": 4})
        [embed] = trace.took([told], search)
    assert (embed.kind, embed.parent, embed.detail) == ("embedding", search, {"batch": 4})
    assert embed.start_ms == pytest.approx(search.start_ms + 2.0)


def test_the_root_lasts_as_long_as_the_request() -> None:
    trace = Trace("rag_query", "request-1", TRACE)
    with trace.step("search"):
        pass
    trace.end(503, IndexUnavailable("down"))
    root = trace.root
    assert (root.name, root.error, trace.status) == ("rag_query", "index_unavailable", 503)
    assert root.duration_ms >= trace.observations[1].duration_ms

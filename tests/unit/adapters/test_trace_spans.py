"""What becomes of a trace: spans with the attributes of Langfuse and of OpenTelemetry."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from pydantic import BaseModel

from answerbox import __version__
from answerbox.adapters.trace_snapshot import LARGEST, MAX_OBSERVATIONS, Snapshot
from answerbox.adapters.trace_spans import SpanMaker, environment, span_maker
from answerbox.errors import GeneratorUnavailable, SetupError
from answerbox.settings import Settings
from answerbox.traces import Observation, Trace, trace_of
from tests.otlp_receiver import Span, decoded

PRICES = {"gpt-5": (1.25, 10.0)}
BEGAN = 1_700_000_000.25
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def a_trace(traceparent: str = "") -> Trace:
    trace = trace_of("rag", "request-1", traceparent)
    trace.began_at = BEGAN
    trace.user_id, trace.session_id, trace.tags = "user-1", "session-1", ["rag", "stream"]
    trace.status = 200
    trace.root.kind, trace.root.duration_ms = "chain", 100.0
    trace.root.input, trace.root.output = "Who?", "I."
    search = Observation("search", "retriever", 5.0, trace.root, 20.5, input="Who?", output=[{"text": "I am."}])
    embed = Observation("embed", "embedding", 6.0, search, 10.0, detail={"batch": 4}, retries=1)
    generate = Observation(
        "generate",
        "generation",
        30.0,
        trace.root,
        60.0,
        input=[{"role": "user", "content": "Who?"}],
        output="I.",
        model="gpt-5",
        parameters={"max_tokens": 16, "temperature": 0.5, "top_p": 1.0, "seed": None, "stop": ["\n"]},
        usage={"input": 1000, "output": 100, "total": 1100},
        first_token_ms=40.0,
        detail={"queue_ms": 1.5},
    )
    trace.observations += [search, embed, generate]
    return trace


def spans_of(trace: Trace, maker: SpanMaker | None = None, content: bool = True) -> list[ReadableSpan]:
    maker = maker or SpanMaker(prices=PRICES)
    return maker.spans(Snapshot(trace, maker.chars, content).trace)


def sent(trace: Trace, maker: SpanMaker | None = None, content: bool = True) -> dict[str, Span]:
    """The spans as they arrive, by name."""
    found = decoded(encode_spans(spans_of(trace, maker, content)).SerializeToString())
    return {span.name: span for span in found}


def test_a_trace_becomes_a_tree_with_its_own_ids_and_times() -> None:
    trace = a_trace()
    spans = sent(trace)
    assert list(spans) == ["rag", "search", "embed", "generate"]
    assert {span.trace_id for span in spans.values()} == {trace.trace_id}
    assert len({span.span_id for span in spans.values()}) == 4
    root = spans["rag"]
    assert root.parent_id == ""
    assert spans["search"].parent_id == spans["generate"].parent_id == root.span_id
    assert spans["embed"].parent_id == spans["search"].span_id
    began = BEGAN * 1e9
    expected = {"rag": (0, 100), "search": (5, 25.5), "embed": (6, 16), "generate": (30, 90)}
    for name, (start_ms, end_ms) in expected.items():
        assert abs(spans[name].start_ns - began - start_ms * 1e6) < 2_000
        assert abs(spans[name].end_ns - began - end_ms * 1e6) < 2_000
    assert [spans[name].kind for name in expected] == [2, 1, 1, 3]  # server, internal, internal, client


def test_every_span_says_whose_trace_it_is_of() -> None:
    for span in sent(a_trace()).values():
        assert span.attributes["user.id"] == "user-1"
        assert span.attributes["session.id"] == "session-1"
        assert span.attributes["langfuse.trace.name"] == "rag"
        assert span.attributes["langfuse.trace.tags"] == ["rag", "stream"]
        assert span.attributes["langfuse.environment"] == "development"
        assert span.attributes["langfuse.release"] == span.attributes["langfuse.version"] == __version__
        assert span.resource["service.name"] == "answerbox"
        assert span.resource["service.version"] == __version__
        assert span.scope == ("answerbox", __version__)


def test_a_generation_has_model_parameters_usage_cost_and_first_token() -> None:
    found = sent(a_trace())["generate"].attributes
    langfuse = {
        name.removeprefix("langfuse.observation."): value
        for name, value in found.items()
        if name.startswith("langfuse.observation.")
    }
    moment = datetime.fromtimestamp(BEGAN + 0.04, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    texts = {
        "type": "generation",
        "output": "I.",
        "level": "DEFAULT",
        "model.name": "gpt-5",
        "metadata.queue_ms": "1.5",
    }
    assert {name: langfuse.pop(name) for name in texts} == texts
    assert {name: json.loads(value) for name, value in langfuse.items()} == {
        "input": [{"role": "user", "content": "Who?"}],
        "model.parameters": {"max_tokens": 16, "temperature": 0.5, "top_p": 1.0, "stop": ["\n"]},
        "usage_details": {"input": 1000, "output": 100, "total": 1100},
        "cost_details": {"input": 0.00125, "output": 0.001, "total": 0.00225},
        "completion_start_time": moment,
    }
    assert {name: value for name, value in found.items() if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "answerbox",
        "gen_ai.request.model": "gpt-5",
        "gen_ai.request.max_tokens": 16,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.stop_sequences": ["\n"],
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        "gen_ai.response.time_to_first_chunk": 0.01,
        "gen_ai.conversation.id": "session-1",
    }


def test_the_other_steps_have_their_kinds_texts_and_details() -> None:
    spans = sent(a_trace())
    types = {name: span.attributes["langfuse.observation.type"] for name, span in spans.items()}
    assert types == {"rag": "chain", "search": "retriever", "embed": "embedding", "generate": "generation"}
    assert spans["search"].attributes["gen_ai.operation.name"] == "retrieval"
    assert spans["embed"].attributes["gen_ai.operation.name"] == "embeddings"
    assert spans["search"].attributes["langfuse.observation.input"] == "Who?"
    assert spans["search"].attributes["langfuse.observation.output"] == '[{"text":"I am."}]'
    assert spans["embed"].attributes["langfuse.observation.metadata.batch"] == "4"
    assert spans["embed"].attributes["langfuse.observation.metadata.retries"] == "1"
    assert "langfuse.observation.metadata.retries" not in spans["search"].attributes


def test_the_root_is_marked_and_has_the_request() -> None:
    spans = sent(a_trace())
    root = spans["rag"].attributes
    assert root["langfuse.internal.is_app_root"] is True
    assert root["langfuse.observation.metadata.request_id"] == "request-1"
    assert root["langfuse.observation.metadata.status"] == "200"
    assert root["http.response.status_code"] == 200
    assert (root["langfuse.observation.input"], root["langfuse.observation.output"]) == ("Who?", "I.")
    assert "langfuse.internal.as_root" not in root
    assert "langfuse.internal.is_app_root" not in spans["search"].attributes


def test_the_span_of_a_caller_is_the_parent() -> None:
    root = sent(a_trace(CALLER))["rag"]
    assert root.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert root.parent_id == "00f067aa0ba902b7"
    assert root.attributes["langfuse.internal.as_root"] is True


def test_an_error_is_its_code_and_never_its_text() -> None:
    trace = trace_of("llm", "request-1")
    with pytest.raises(GeneratorUnavailable), trace.step("generate", "generation"):
        raise GeneratorUnavailable("secret words")
    trace.end(503, GeneratorUnavailable("secret words"))
    spans = sent(trace)
    for span in spans.values():
        assert span.status == (2, GeneratorUnavailable.code)
        assert span.attributes["langfuse.observation.level"] == "ERROR"
        assert span.attributes["langfuse.observation.status_message"] == GeneratorUnavailable.code
        assert span.attributes["error.type"] == GeneratorUnavailable.code
        assert span.events == []
    assert "secret words" not in repr(spans)


def test_what_was_degraded_is_a_warning() -> None:
    trace = a_trace()
    trace.degraded = ["vectors"]
    root = sent(trace)["rag"]
    assert root.attributes["langfuse.observation.level"] == "WARNING"
    assert root.attributes["langfuse.observation.metadata.degraded"] == '["vectors"]'
    assert root.status == (0, "")


def test_without_content_there_are_no_texts() -> None:
    spans = sent(a_trace(), content=False)
    assert not [name for span in spans.values() for name in span.attributes if name.endswith((".input", ".output"))]
    assert "Who?" not in repr(spans)
    assert "I am." not in repr(spans)
    assert spans["generate"].attributes["gen_ai.usage.input_tokens"] == 1000


def test_a_model_without_a_price_has_no_cost() -> None:
    assert "langfuse.observation.cost_details" not in sent(a_trace(), SpanMaker())["generate"].attributes


def test_texts_are_masked_and_cut_wherever_they_are() -> None:
    trace = a_trace()
    address = "john@example.org"
    trace.root.input = {"context": [address, "x" * 500]}
    trace.root.detail = {"note": address}
    trace.tags = [address]
    trace.observations[3].parameters["stop"] = [address]
    spans = sent(trace, SpanMaker(chars=100))
    assert address not in repr(spans)
    assert json.loads(spans["rag"].attributes["langfuse.observation.input"])["context"] == ["[e-mail]", "x" * 99 + "…"]


def test_names_that_langfuse_would_drop_are_cut() -> None:
    trace = a_trace()
    trace.name = trace.user_id = trace.session_id = "n" * 300
    trace.tags = ["t" * 300] * 100
    for span in sent(trace).values():
        for name in ("langfuse.trace.name", "user.id", "session.id"):
            assert len(span.attributes[name]) == 200
        assert {len(tag) for tag in span.attributes["langfuse.trace.tags"]} == {200}
        assert len(span.attributes["langfuse.trace.tags"]) == 50


@pytest.mark.parametrize(
    ("name", "expected"),
    [("production", "production"), ("My Env.1", "my-env-1"), ("langfuse-x", "default"), ("", "default")],
)
def test_an_environment_is_one_for_langfuse(name: str, expected: str) -> None:
    assert environment(name) == expected


def test_what_is_made_comes_from_the_settings() -> None:
    maker = span_maker(Settings(env="production", prices=PRICES, trace_chars=500, trace_mask="builtins:repr"))
    assert (maker.environment, maker.prices, maker.chars, maker.hook) == ("production", PRICES, 500, repr)
    with pytest.raises(SetupError):
        span_maker(Settings(trace_mask="no:where"))


class Passage(BaseModel):
    text: str


@dataclass
class Plain:
    text: str


class Evil:
    def __str__(self) -> str:
        raise RuntimeError


def test_any_value_becomes_json() -> None:
    trace = a_trace()
    itself: list[Any] = []
    itself.append(itself)
    trace.root.input = {
        "half": "a\ud800\x00\u202eb",
        "big": 10**30,
        "huge": 10**5000,
        "fits": LARGEST,
        "nan": [math.nan, math.inf, -math.inf],
        1: {b"key": b"abc", None: None},
        "model": Passage(text="p"),
        "data": Plain("d"),
        "set": {1},
        "moment": datetime(2024, 5, 1, tzinfo=UTC),
        "evil": Evil(),
        "itself": itself,
    }
    trace.name = "a\ud800\x00"
    trace.user_id = "u\udfff"
    trace.root.detail = {"k\ud800": "v\ud800", "": "empty"}
    root = next(iter(sent(trace).values()))
    found = json.loads(root.attributes["langfuse.observation.input"])
    assert str(found.pop("itself")).count("[") == 15
    assert found == {
        "half": "a\ufffd\ufffd\u202eb",
        "big": str(10**30),
        "huge": f"<{(10**5000).bit_length()} bits>",
        "fits": LARGEST,
        "nan": ["nan", "inf", "-inf"],
        "1": {"b'key'": "<3 bytes>", "None": None},
        "model": {"text": "p"},
        "data": {"text": "d"},
        "set": [1],
        "moment": "2024-05-01 00:00:00+00:00",
        "evil": "<Evil>",
    }
    assert root.name == "a\ufffd\ufffd"
    assert root.attributes["user.id"] == "u\ufffd"
    assert root.attributes["langfuse.observation.metadata.k\ufffd"] == "v\ufffd"


def test_a_snapshot_is_small_and_does_not_change() -> None:
    trace = a_trace()
    trace.root.input = {"texts": ["ы" * 1_000_000] * 100, "numbers": list(range(100_000))}
    trace.observations += [Observation("step", "span", 1.0, trace.root) for _ in range(2 * MAX_OBSERVATIONS)]
    snapshot = Snapshot(trace, 8_000, content=True)
    trace.root.output, trace.tags[0] = "changed", "changed"
    assert snapshot.trace.root.output == "I."
    assert snapshot.trace.tags == ["rag", "stream"]
    assert len(snapshot.trace.observations) == MAX_OBSERVATIONS
    assert len(json.dumps(snapshot.trace.root.input, ensure_ascii=False)) < 1_100_000
    assert snapshot.size < 7_000_000


def test_a_step_whose_parent_is_not_of_the_trace_hangs_on_the_root() -> None:
    trace = a_trace()
    trace.observations.append(Observation("lost", "span", 1.0, Observation("gone", "span", 0.0)))
    spans = sent(trace)
    assert spans["lost"].parent_id == spans["rag"].span_id

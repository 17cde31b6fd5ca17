"""What came of a question as the span that Langfuse takes for an item of an experiment.

Langfuse v4 makes experiments of the attributes of spans; linking an item and a trace in its API is gone:
https://langfuse.com/integrations/native/opentelemetry/experiments (the forms are those of its SDK 5.0.4). The span is
the root of the item's trace; the steps of the answer stand below it where the service traces into the same project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from answerbox import __version__
from answerbox.adapters.trace_spans import LATEST_NS, SCOPE, Attribute, SpanMaker, environment
from answerbox.evaluation.experiment import Experiment, Tried

NAME = "experiment-item"


@dataclass(frozen=True)
class Place:
    """Where it belongs, in Langfuse's own ids."""

    experiment_id: str
    dataset_id: str
    item_id: str


def item_span(maker: SpanMaker, experiment: Experiment, tried: Tried, place: Place, content: bool) -> ReadableSpan:
    """Texts are masked and cut; without `content` there are none."""
    start = _nanoseconds(tried.asked_at)
    return ReadableSpan(
        name=NAME,
        context=SpanContext(
            int(tried.trace_id, 16), int(tried.span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
        ),
        resource=maker.resource,
        attributes={
            **dict(_observation(maker, tried, content)),
            **dict(_experiment(maker, experiment, place)),
            **dict(_item(maker, tried, place, content)),
        },
        kind=SpanKind.CLIENT,
        status=Status(StatusCode.ERROR, tried.error) if tried.error else Status(),
        start_time=start,
        end_time=min(start + int(tried.took_ms * 1e6), LATEST_NS),
        instrumentation_scope=SCOPE,
    )


def _observation(maker: SpanMaker, tried: Tried, content: bool) -> Iterator[tuple[str, Attribute]]:
    yield "langfuse.environment", environment(maker.environment)
    yield "langfuse.release", __version__
    yield "langfuse.internal.is_app_root", True
    yield "langfuse.observation.type", "span"
    if content:
        yield "langfuse.observation.input", maker.text({"question": tried.item.question})
        yield "langfuse.observation.output", maker.text(tried.answer)
    if tried.error:
        yield "langfuse.observation.level", "ERROR"
        yield "langfuse.observation.status_message", tried.error
    for name, value in tried.detail.items():
        if value not in (None, []):
            yield f"langfuse.observation.metadata.{name}", maker.text(value)


def _experiment(maker: SpanMaker, experiment: Experiment, place: Place) -> Iterator[tuple[str, Attribute]]:
    yield "langfuse.experiment.id", place.experiment_id
    yield "langfuse.experiment.name", experiment.name
    yield "langfuse.experiment.description", experiment.description
    yield "langfuse.experiment.metadata", maker.text(experiment.about)
    yield "langfuse.experiment.dataset.id", place.dataset_id


def _item(maker: SpanMaker, tried: Tried, place: Place, content: bool) -> Iterator[tuple[str, Attribute]]:
    yield "langfuse.experiment.item.id", place.item_id
    yield "langfuse.experiment.item.root_observation_id", tried.span_id
    if content:
        yield "langfuse.experiment.item.expected_output", maker.text(expected(tried))
    yield "langfuse.experiment.item.metadata", maker.text(metadata(tried))


def expected(tried: Tried) -> dict[str, object]:
    """What a right answer is."""
    return {"answers": tried.item.accepted} if tried.item.document_id else {"refused": True}


def metadata(tried: Tried) -> dict[str, object]:
    """Of the question, without its text."""
    item = tried.item
    told = {"language": item.language, "answerable": bool(item.document_id), "question_id": item.question_id}
    return told | ({"document_id": item.document_id} if item.document_id else {})


def _nanoseconds(seconds: float) -> int:
    return min(max(int(seconds * 1e9), 0), LATEST_NS)

"""A trace as spans of OpenTelemetry, with the attributes that Langfuse reads and those that everybody else reads.

Langfuse: https://langfuse.com/integrations/native/opentelemetry#property-mapping (and as its SDK 5.0.4 sends them).
The others: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from answerbox import __version__
from answerbox.adapters.masking import Hook, clean, hook_of, mask, shortened
from answerbox.settings import Settings
from answerbox.traces import Kind, Observation, Trace

Attribute = str | bool | int | float | list[str]

SHORT = 200
"""Langfuse drops longer names, users, sessions and tags."""
MAX_TAGS = 50
ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")
LATEST_NS = 2**63 - 1

OPERATIONS: dict[Kind, str] = {
    "generation": "chat",
    "embedding": "embeddings",
    "retriever": "retrieval",
    "agent": "invoke_agent",
    "tool": "execute_tool",
}
PARAMETERS = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
}

IDS = RandomIdGenerator()
SCOPE = InstrumentationScope("answerbox", __version__)


@dataclass(frozen=True)
class SpanMaker:
    """`prices`: US dollars for a million tokens read and a million made, by model. `chars`: longest text."""

    environment: str = "development"
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    chars: int = 8_000
    hook: Hook | None = None
    resource: Resource = field(
        default_factory=lambda: Resource.create({"service.name": "answerbox", "service.version": __version__})
    )

    def spans(self, trace: Trace) -> list[ReadableSpan]:
        """The root first. Texts are masked and cut.

        Raises:
            ValueError, OverflowError: the trace has ids or times that no span can have.
        """
        common = dict(self._common(trace))
        contexts = {id(each): _context(trace.trace_id, IDS.generate_span_id()) for each in trace.observations}
        return [
            ReadableSpan(
                name=_short(each.name or trace.name),
                context=contexts[id(each)],
                parent=_parent(trace, each, contexts),
                resource=self.resource,
                attributes={**common, **dict(self._own(trace, each))},
                kind=_span_kind(trace, each),
                status=Status(StatusCode.ERROR, _short(each.error)) if each.error else Status(),
                start_time=_nanoseconds(trace, each.start_ms),
                end_time=_nanoseconds(trace, each.start_ms + max(each.duration_ms, 0)),
                instrumentation_scope=SCOPE,
            )
            for each in trace.observations
        ]

    def _common(self, trace: Trace) -> Iterator[tuple[str, Attribute]]:
        """On every span: Langfuse filters and adds up by these, and spans arrive one by one.

        Users and sessions are names that the caller chose to be found by, so they are not masked.
        """
        yield "langfuse.trace.name", _short(trace.name)
        if trace.user_id:
            yield "user.id", _short(trace.user_id)
        if trace.session_id:
            yield "session.id", _short(trace.session_id)
            yield "gen_ai.conversation.id", _short(trace.session_id)
        if trace.tags:
            yield "langfuse.trace.tags", [_short(mask(tag, self.hook, SHORT)) for tag in trace.tags[:MAX_TAGS]]
        yield "langfuse.environment", environment(self.environment)
        yield "langfuse.release", __version__
        yield "langfuse.version", __version__

    def _own(self, trace: Trace, each: Observation) -> Iterator[tuple[str, Attribute]]:
        yield "langfuse.observation.type", each.kind
        for name, value in (("input", each.input), ("output", each.output)):
            if value is not None:
                yield f"langfuse.observation.{name}", self.text(value)
        yield from _level(trace, each)
        yield from self._model(trace, each)
        yield from self._metadata(trace, each)
        if each is trace.root:
            yield "langfuse.internal.is_app_root", True
            if trace.parent_id:
                yield "langfuse.internal.as_root", True
            if trace.status:
                yield "http.response.status_code", trace.status
        if operation := OPERATIONS.get(each.kind):
            yield "gen_ai.operation.name", operation
            yield "gen_ai.provider.name", "answerbox"

    def _model(self, trace: Trace, each: Observation) -> Iterator[tuple[str, Attribute]]:
        if each.model:
            yield "langfuse.observation.model.name", _short(each.model)
            yield "gen_ai.request.model", _short(each.model)
        parameters = {name: value for name, value in each.parameters.items() if value is not None}
        if parameters:
            yield "langfuse.observation.model.parameters", self._json(parameters)
        if each.prompt and each.prompt.version is not None:  # those in the code are not Langfuse's
            yield "langfuse.observation.prompt.name", _short(each.prompt.name)
            yield "langfuse.observation.prompt.version", each.prompt.version
        yield from self._request(parameters)
        yield from self._usage(each)
        if each.first_token_ms is not None:
            moment = datetime.fromtimestamp(trace.began_at + each.first_token_ms / 1000, UTC)
            text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            yield "langfuse.observation.completion_start_time", json.dumps(text)
            seconds = max(each.first_token_ms - each.start_ms, 0) / 1000
            yield "gen_ai.response.time_to_first_chunk", round(seconds, 4)

    def _request(self, parameters: dict[str, Any]) -> Iterator[tuple[str, Attribute]]:
        for name, attribute in PARAMETERS.items():
            value = parameters.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield attribute, value
        stop = parameters.get("stop")
        if isinstance(stop, list) and stop:
            yield "gen_ai.request.stop_sequences", [self.text(each) for each in stop]

    def _usage(self, each: Observation) -> Iterator[tuple[str, Attribute]]:
        usage = {name: count for name, count in each.usage.items() if type(count) is int and count >= 0}
        if not usage:
            return
        yield "langfuse.observation.usage_details", self._json(usage)
        for name in ("input", "output"):
            if name in usage:
                yield f"gen_ai.usage.{name}_tokens", usage[name]
        if price := self.prices.get(each.model or ""):
            yield "langfuse.observation.cost_details", self._json(cost(usage, price))

    def _metadata(self, trace: Trace, each: Observation) -> Iterator[tuple[str, Attribute]]:
        found = {name: value for name, value in each.detail.items() if value is not None}
        if each.retries:
            found["retries"] = each.retries
        if each is trace.root:
            found |= {"request_id": trace.request_id, "status": trace.status, "degraded": trace.degraded}
        for name, value in found.items():
            key = _short(mask(name)) or "_"
            yield f"langfuse.observation.metadata.{key}", self.text(value)

    def text(self, value: Any) -> str:
        """A text as it is, anything else as JSON; masked and cut."""
        masked = self.masked(value)
        return masked if isinstance(masked, str) else _dumped(masked)

    def masked(self, value: Any) -> Any:
        """The same value, with its texts masked and cut."""
        return mask(value, self.hook, self.chars)

    def _json(self, value: Any) -> str:
        return _dumped(self.masked(value))


def span_maker(settings: Settings) -> SpanMaker:
    """Raises: SetupError where a mask of your own cannot be loaded."""
    return SpanMaker(
        environment=settings.env,
        prices=settings.prices,
        chars=settings.trace_chars,
        hook=hook_of(settings),
    )


def environment(name: str) -> str:
    """What Langfuse takes for one: `[a-z0-9_-]`, 40 characters at most, and not beginning with `langfuse`."""
    found = re.sub(r"[^a-z0-9_-]", "-", name.lower())[:40]
    return found if ENVIRONMENT.fullmatch(found) else "default"


def cost(usage: dict[str, int], price: tuple[float, float]) -> dict[str, float]:
    """US dollars."""
    read, made = usage.get("input", 0) * price[0] / 1e6, usage.get("output", 0) * price[1] / 1e6
    return {name: round(dollars, 12) for name, dollars in (("input", read), ("output", made), ("total", read + made))}


def _level(trace: Trace, each: Observation) -> Iterator[tuple[str, Attribute]]:
    if each.error:
        yield "langfuse.observation.level", "ERROR"
        yield "langfuse.observation.status_message", _short(each.error)
        yield "error.type", _short(each.error)
    elif each is trace.root and trace.degraded:
        yield "langfuse.observation.level", "WARNING"
        yield "langfuse.observation.status_message", _short("degraded: " + ", ".join(trace.degraded))
    else:
        yield "langfuse.observation.level", "DEFAULT"


def _span_kind(trace: Trace, each: Observation) -> SpanKind:
    if each is trace.root:
        return SpanKind.SERVER
    return SpanKind.CLIENT if each.kind == "generation" else SpanKind.INTERNAL


def _context(trace_id: str, span_id: int, is_remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))


def _parent(trace: Trace, each: Observation, contexts: dict[int, SpanContext]) -> SpanContext | None:
    if each is not trace.root:
        return contexts.get(id(each.parent), contexts[id(trace.root)])
    return _context(trace.trace_id, int(trace.parent_id, 16), is_remote=True) if trace.parent_id else None


def _nanoseconds(trace: Trace, ms: float) -> int:
    return min(max(int((trace.began_at * 1000 + ms) * 1e6), 0), LATEST_NS)


def _short(text: str) -> str:
    return shortened(clean(text), SHORT)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)

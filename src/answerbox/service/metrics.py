"""The service's own metrics, and those of a request, made from its trace.

BentoML runs prometheus_client in multiprocess mode: what any process of the host sets here is in the /metrics of the
gateway. Gauges of a service with one process are `mostrecent`: its successor overwrites what a dead one has left.
Those of the gateway, which may have several, are `live…`, and `reporting.py` takes away what dead ones have left.
"""

from __future__ import annotations

from typing import Any, get_args

from prometheus_client import Counter, Gauge, Histogram

from answerbox import breaker, retrying
from answerbox.contracts import GroundingMode
from answerbox.errors import (
    AnswerboxError,
    EmbedderUnavailable,
    GeneratorUnavailable,
    IndexUnavailable,
    RerankerUnavailable,
    Unavailable,
    tree,
)
from answerbox.service import problems
from answerbox.service.routes import Route
from answerbox.traces import Observation, Trace

OTHER = "other"
UNKNOWN = "unknown"
CLIENT_GONE = "client_gone"
PIPELINES = {
    "llm_query": "llm",
    "rag_query": "rag",
    "agent_query": "agent",
    "custom_query": "custom",
    "search": "search",
}
NO_PIPELINE = "none"
OF_SEVERAL = frozenset({"v1/chat/completions", "mcp"})
"""Routes of several pipelines; the trace's name says of which."""
STEPS = frozenset({"search", "words", "embed", "vectors", "rank", "rerank", "generate", "tool", "run_model"})
DEGRADED_PARTS = (
    "vectors",
    "reranker",
    "passages_dropped",
    "model_does_not_speak",
    "tool_calling",
    "tools",
    "search",
    "session",
    "history_dropped",
    "results_shortened",
    "conversation_dropped",
)
PARTS: dict[str, type[Unavailable]] = {
    "generator": GeneratorUnavailable,
    "embedder": EmbedderUnavailable,
    "index": IndexUnavailable,
    "reranker": RerankerUnavailable,
}
PART_OF = {cls.code: part for part, root in PARTS.items() for cls in tree(root)}
STATUS = {cls.code: status for cls, status in problems.STATUS.items()}

# Few buckets: what a scrape costs grows with them.
SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
STEP_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
TOKEN_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# Requests: set by the gateway when one has ended.
REQUESTS = Counter(
    "answerbox_requests_total",
    "Requests that have ended. A stream that failed in the middle has the status of its failure.",
    ["route", "method", "pipeline", "status"],
)
ERRORS = Counter("answerbox_errors_total", "Requests that failed, by the code of the failure.", ["route", "code"])
REQUEST_SECONDS = Histogram(
    "answerbox_request_duration_seconds",
    "From the beginning of a request to the end of its answer; without probes, and where that was 2xx.",
    ["route", "method"],
    buckets=SECONDS,
)
STEP_DURATION = Histogram(
    "answerbox_step_duration_seconds",
    "Steps that went well, as in `meta.steps`; of a generation also `queue`, `prefill` and `decode`; `total` is all.",
    ["pipeline", "step"],
    buckets=STEP_SECONDS,
)
FIRST_TOKEN = Histogram(
    "answerbox_time_to_first_token_seconds",
    "From the beginning of a request to the model's first text.",
    ["pipeline"],
    buckets=SECONDS,
)
PER_TOKEN = Histogram(
    "answerbox_time_per_token_seconds",
    "Time of a token after the first, the mean of a generation.",
    ["pipeline"],
    buckets=TOKEN_SECONDS,
)
TOKENS = Counter(
    "answerbox_tokens_total",
    "Tokens of the language model: `input` was read, `output` was made.",
    ["pipeline", "direction"],
)
BATCH_ROWS = Histogram(
    "answerbox_generation_batch_rows",
    "Requests in the engine's batch during a generation, at most.",
    ["pipeline"],
    buckets=ROWS,
)
DEGRADED = Counter(
    "answerbox_degraded_total", "Answers without something that they should have had.", ["pipeline", "part"]
)
GROUNDINGS = Counter("answerbox_groundings_total", "Answers from documents, by how they were made.", ["mode"])

# Edges between the parts: set in whatever process has them.
RETRIES = Counter("answerbox_retries_total", "Calls that were made again, by the failure before.", ["code"])
BREAKER_OPEN = Gauge(
    "answerbox_breaker_open",
    "1: the part keeps failing and is spared calls.",
    ["part"],
    multiprocess_mode="livemax",
)
BREAKER_OPENED = Counter("answerbox_breaker_opened_total", "How often that began.", ["part"])
SPANS_SENT = Counter("answerbox_spans_sent_total", "Spans that a backend for traces has taken.")
SPANS_DROPPED = Counter("answerbox_spans_dropped_total", "Spans that no backend for traces would take in time.")

# The gateway.
PLACES = Gauge("answerbox_places_taken", "Requests that are being answered.", multiprocess_mode="livesum")
PLACES_LIMIT = Gauge("answerbox_places_limit", "So many may be (`max_requests`).", multiprocess_mode="livesum")
PART_READY = Gauge("answerbox_part_ready", "1: the part works.", ["part"], multiprocess_mode="livemin")

# The engine of the local language model: set by Generator.
ENGINE_RUNNING = Gauge("answerbox_engine_running", "Generations in the batch.", multiprocess_mode="mostrecent")
ENGINE_ROWS = Gauge("answerbox_engine_rows", "So many may be in it.", multiprocess_mode="mostrecent")
ENGINE_WAITING = Gauge("answerbox_engine_waiting", "Generations in the line.", multiprocess_mode="mostrecent")
ENGINE_WAITING_TOKENS = Gauge(
    "answerbox_engine_waiting_tokens", "Tokens of work in the line.", multiprocess_mode="mostrecent"
)
ENGINE_WAITING_LIMIT = Gauge(
    "answerbox_engine_waiting_tokens_limit", "So many may be in it.", multiprocess_mode="mostrecent"
)
ENGINE_CACHE = Gauge(
    "answerbox_engine_cache_tokens",
    "Tokens, prompts and answers, that the cache is kept free for.",
    multiprocess_mode="mostrecent",
)
ENGINE_CACHE_LIMIT = Gauge("answerbox_engine_cache_tokens_limit", "So many fit.", multiprocess_mode="mostrecent")
ENGINE_SPEED = Gauge(
    "answerbox_engine_work_tokens_per_second",
    "Tokens of work a second while somebody waits; what `Retry-After` is made from.",
    multiprocess_mode="mostrecent",
)
ENGINE_TOKENS = Counter("answerbox_engine_tokens_total", "Tokens that the engine has made, read by somebody or not.")
ENGINE_RESTARTS = Counter("answerbox_engine_restarts_total", "Engines that took the place of one that died or hung.")

# The embedding model: set by Embedder.
EMBEDDING_TEXTS = Histogram("answerbox_embedding_batch_texts", "Texts in a batch.", buckets=ROWS)
EMBEDDING_SECONDS = Histogram(
    "answerbox_embedding_duration_seconds", "The model's time for a batch.", buckets=STEP_SECONDS
)

# The documents: set by Index.
DOCUMENTS = Gauge("answerbox_index_documents", "Documents.", multiprocess_mode="mostrecent")
CHUNKS = Gauge("answerbox_index_chunks", "Passages.", multiprocess_mode="mostrecent")
EMBEDDED = Gauge(
    "answerbox_index_embedded_chunks", "Passages that can be found by meaning.", multiprocess_mode="mostrecent"
)
WAITING = Gauge(
    "answerbox_index_waiting", "Documents and files that wait to be indexed.", multiprocess_mode="mostrecent"
)
INDEX_BYTES = Gauge("answerbox_index_size_bytes", "Files of the data folder.", ["part"], multiprocess_mode="mostrecent")
VECTORS = Gauge(
    "answerbox_index_vectors", "1: so the half that searches by meaning is.", ["state"], multiprocess_mode="mostrecent"
)
JOBS = Gauge("answerbox_jobs", "Jobs of the last 30 days.", ["state"], multiprocess_mode="mostrecent")

# Processes: each service sets its own, Generator also those of its engine.
RESIDENT = Gauge(
    "answerbox_process_resident_memory_bytes", "Resident memory.", ["service"], multiprocess_mode="livesum"
)
CPU = Counter("answerbox_process_cpu_seconds_total", "User and system time.", ["service"])
OPEN_FILES = Gauge("answerbox_process_open_fds", "Open file descriptors.", ["service"], multiprocess_mode="livesum")
THREADS = Gauge("answerbox_process_threads", "Threads.", ["service"], multiprocess_mode="livesum")
STARTED = Gauge(
    "answerbox_process_start_time_seconds",
    "When the youngest process began, seconds since 1970.",
    ["service"],
    multiprocess_mode="livemax",
)


def observe_request(trace: Trace, route: Route | None) -> None:
    """Everything about a request that has ended; None is a path that there is not."""
    name, method = (route.name or "root", route.method) if route else (UNKNOWN, OTHER)
    pipeline = PIPELINES.get(trace.name if name in OF_SEVERAL else name, NO_PIPELINE)
    status, seconds = _status(trace), trace.root.duration_ms / 1000
    REQUESTS.labels(name, method, pipeline, status).inc()
    if trace.root.error:
        ERRORS.labels(name, trace.root.error if trace.root.error in STATUS else OTHER).inc()
    if status == "2xx" and route and not route.is_probe:
        REQUEST_SECONDS.labels(name, method).observe(seconds)
    if pipeline == NO_PIPELINE:
        return
    if status == "2xx":
        STEP_DURATION.labels(pipeline, "total").observe(seconds)
    _observe_outcome(trace, pipeline)
    for step in trace.observations[1:]:
        _observe_step(step, pipeline)


def _status(trace: Trace) -> str:
    """The class of the status; a failure has its own, also where it came too late for the status line."""
    status = STATUS.get(trace.root.error or "", trace.status)
    if status == 499:
        return CLIENT_GONE
    return f"{status // 100}xx" if 100 <= status < 600 else OTHER


def _observe_outcome(trace: Trace, pipeline: str) -> None:
    for what in trace.degraded:
        part = what.partition(":")[0]
        DEGRADED.labels(pipeline, part if part in DEGRADED_PARTS else OTHER).inc()
    mode = trace.root.detail.get("grounding")
    if mode is not None:
        GROUNDINGS.labels(mode if mode in get_args(GroundingMode) else OTHER).inc()


def _observe_step(step: Observation, pipeline: str) -> None:
    if step.error is None:
        _observe_seconds(pipeline, step.name if step.name in STEPS else OTHER, step.duration_ms)
    if step.kind != "generation":
        return
    for direction in ("input", "output"):
        TOKENS.labels(pipeline, direction).inc(max(0, step.usage.get(direction, 0)))
    if (rows := _number(step.detail, "batch")) is not None:
        BATCH_ROWS.labels(pipeline).observe(rows)
    if step.first_token_ms is not None:
        _observe_phases(step, step.first_token_ms, pipeline)


def _observe_phases(step: Observation, first_token_ms: float, pipeline: str) -> None:
    """An engine that tells of its line and its first token is believed; else all before that token is `prefill`."""
    queue_ms = _number(step.detail, "queue_ms")
    asked_for_ms = _number(step.detail, "first_token_ms") or first_token_ms - step.start_ms
    decode_ms = step.start_ms + step.duration_ms - first_token_ms
    if queue_ms is not None:
        _observe_seconds(pipeline, "queue", queue_ms)
    _observe_seconds(pipeline, "prefill", asked_for_ms - (queue_ms or 0.0))
    _observe_seconds(pipeline, "decode", decode_ms)
    FIRST_TOKEN.labels(pipeline).observe(max(0.0, first_token_ms / 1000))
    if (made := step.usage.get("output", 0)) > 1:
        PER_TOKEN.labels(pipeline).observe(max(0.0, decode_ms / (made - 1) / 1000))


def _observe_seconds(pipeline: str, step: str, milliseconds: float) -> None:
    STEP_DURATION.labels(pipeline, step).observe(max(0.0, milliseconds / 1000))


def _number(detail: dict[str, Any], name: str) -> float | None:
    found = detail.get(name)
    return float(found) if isinstance(found, int | float) else None


def _retried(failure: BaseException) -> None:
    RETRIES.labels(failure.code if isinstance(failure, AnswerboxError) else OTHER).inc()


def _breaker_changed(code: str, rests: bool) -> None:
    part = PART_OF.get(code, OTHER)
    BREAKER_OPEN.labels(part).set(rests)
    if rests:
        BREAKER_OPENED.labels(part).inc()


def _begin() -> None:
    """What has not happened yet is 0, not absent: a rate needs a first value to grow from."""
    for part, failure in PARTS.items():
        BREAKER_OPEN.labels(part).set(0)
        BREAKER_OPENED.labels(part)
        RETRIES.labels(failure.code)
    for mode in get_args(GroundingMode):
        GROUNDINGS.labels(mode)
    for pipeline in PIPELINES.values():
        for part in DEGRADED_PARTS:
            DEGRADED.labels(pipeline, part)
    breaker.watchers.append(_breaker_changed)
    retrying.watchers.append(_retried)


_begin()

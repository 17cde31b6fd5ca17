"""The log: one line for each event of a process, BentoML's, the libraries' and what is printed included.

Whoever logs uses `logging`, with fields in `extra`; `install` sets the form. A request's line is made from its trace.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import logging
import os
import sys
import threading
import weakref
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import structlog
from opentelemetry import baggage
from pydantic import SecretStr, ValidationError
from structlog.stdlib import ProcessorFormatter

from answerbox.log_text import LONGEST, Cleaner, json_line, said, text_line
from answerbox.settings import Settings
from answerbox.traces import Trace

REQUESTS = "answerbox.request"
SUPERVISOR = "Supervisor"
BENTOMLS = "tracehandler"
"""The name of BentoML's handler, which it sets up in each of its processes before it loads the service."""
BATCHED = frozenset({"Embedder"})
"""Its calls are joined, and BentoML gives the work the context of the first: the ids would be of a wrong request."""
REPLACED = frozenset({"bentoml.access", "uvicorn.access"})
"""The line of a request stands in for theirs."""

ROUTE_CHARS = 200
CONTENT_CHARS = 2_000
USER_DIGITS = 12
IDS = ("request_id", "trace_id")
BAGGAGE = "answerbox."
SERVER_ERROR, CLIENT_ERROR = 500, 400

Fields = MutableMapping[str, Any]
_bound: ContextVar[tuple[Trace, weakref.ref[asyncio.Task[Any]] | None]] = ContextVar("trace")
_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "color_message", "_logger", "_name"}


def install_in_server(settings: Settings) -> None:
    """In a process of `bentoml serve` the log is ours from here on; elsewhere (a notebook, a test) nothing changes."""
    if any(handler.name == BENTOMLS for handler in logging.getLogger().handlers):
        install(settings, _service(sys.argv))


def _service(arguments: list[str]) -> str:
    """Of the process, as BentoML starts it."""
    option = "--service-name"
    return arguments[arguments.index(option) + 1] if option in arguments[:-1] else SUPERVISOR


def install(settings: Settings, service: str, descriptor: int = 1) -> None:
    """Sends all that this process logs, warns of, prints and dies of to its standard output, or to another file."""
    handler = Sink(descriptor)
    handler.setFormatter(formatter(settings, service, as_json=_as_json(settings, descriptor)))
    handler.addFilter(wanted)
    root = logging.getLogger()
    root.handlers = [handler]
    for logger in [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]:
        _open(logger)
    _set_levels(settings)
    structlog.configure(
        processors=[structlog.stdlib.PositionalArgumentsFormatter(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    sys.unraisablehook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    sys.stdout = Printed("stdout", logging.INFO, 1)
    sys.stderr = Printed("stderr", logging.WARNING, 2)


def formatter(settings: Settings, service: str, *, as_json: bool) -> logging.Formatter:
    return _Lines(Cleaner(_secrets(settings), settings.log_content), service, as_json)


def bind(trace: Trace) -> None:
    """From here on the ids stand in the lines of this task, and, until the request ends, of those that it starts."""
    task = asyncio.current_task()
    _bound.set((trace, weakref.ref(task) if task else None))


def carried(trace: Trace) -> tuple[bytes, bytes]:
    """The header by which the ids reach the other services: https://www.w3.org/TR/baggage/."""
    return b"baggage", ",".join(f"{BAGGAGE}{name}={getattr(trace, name)}" for name in IDS).encode()


def log_request(
    settings: Settings,
    trace: Trace,
    method: str,
    route: str,
    *,
    client: str | None = None,
    key: str | None = None,
    probe: bool = False,
) -> None:
    """The line of a request that has ended. `route` is the template, or the path that no route has.

    `client` is the caller's address, `key` the name of its key. Those that failed always have a line, of the others
    the share that is set, and a probe that went well only has one at the level `debug`.
    """
    failed = bool(trace.root.error) or trace.status >= CLIENT_ERROR
    if not failed and not _in_sample(trace, settings.log_sample):
        return
    log, level = logging.getLogger(REQUESTS), _level(trace, probe)
    if not log.isEnabledFor(level):
        return
    who = {"client": client, "key": key, "user": _user_hash(trace)}
    content = _content(trace) if settings.log_content else {}
    outcome = {name: value for name, value in {**_outcome(trace), **who}.items() if value is not None}
    log.log(level, "request", extra={"method": method, "route": route[:ROUTE_CHARS], **outcome, **content})


def _in_sample(trace: Trace, share: float) -> bool:
    """By the half of the id that OpenTelemetry goes by, so that with equal shares a trace has its line."""
    return int(trace.trace_id, 16) & (2**64 - 1) < round(share * 2**64)


def _level(trace: Trace, probe: bool) -> int:
    """A stream can fail with the status 200; a part that is not ready yet is no fault of the service."""
    if trace.status >= SERVER_ERROR or (trace.root.error and trace.status < CLIENT_ERROR):
        return logging.WARNING if probe else logging.ERROR
    return logging.DEBUG if probe and trace.status < CLIENT_ERROR else logging.INFO


def _outcome(trace: Trace) -> dict[str, Any]:
    root, steps = trace.root, trace.observations[1:]
    durations: dict[str, float] = {}
    for step in steps:
        durations[step.name] = round(durations.get(step.name, 0.0) + step.duration_ms, 1)
    generated = [step.usage for step in steps if step.kind == "generation" and step.usage]
    return {
        "request_id": trace.request_id,
        "trace_id": trace.trace_id,
        "status": trace.status,
        "code": root.error,
        "duration_ms": root.duration_ms,
        "steps": durations or None,
        "retries": sum(step.retries for step in steps) or None,
        "tokens_in": sum(usage.get("input", 0) for usage in generated) if generated else None,
        "tokens_out": sum(usage.get("output", 0) for usage in generated) if generated else None,
        "degraded": trace.degraded or None,
        "pipeline": trace.name.removesuffix("_query") if root.kind in ("chain", "agent", "retriever") else None,
        "model": root.detail.get("model"),
        "finish_reason": root.detail.get("finish_reason"),
    }


def _user_hash(trace: Trace) -> str | None:
    if trace.user_id is None:
        return None
    return hashlib.sha256(trace.user_id.encode(errors="surrogatepass")).hexdigest()[:USER_DIGITS]


def _content(trace: Trace) -> dict[str, str]:
    asked, answered = trace.root.input, trace.root.output
    question = asked.get("question") if isinstance(asked, Mapping) else asked
    found = {"question": question, "answer": answered}
    return {name: text[:CONTENT_CHARS] for name, text in found.items() if isinstance(text, str)}


def wanted(record: logging.LogRecord) -> bool:
    """Libraries write keys and questions into their debug lines, whatever level somebody gives them."""
    if record.name in REPLACED or _is_callers_fault(record):
        return False
    return record.levelno >= logging.INFO or _is_ours(record.name)


def _is_ours(name: str) -> bool:
    return name == "answerbox" or name.startswith("answerbox.")


def _is_callers_fault(record: logging.LogRecord) -> bool:
    """BentoML writes a traceback, with the input in it, for every body that breaks the contract."""
    error = record.exc_info[1] if record.exc_info else None
    return record.name.startswith("bentoml") and isinstance(error, ValidationError) and "Request" in error.title


class Sink(logging.Handler):
    """Writes each line in one call, so that those of several processes do not mix. A log that is full stops nobody."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            data = (("\n" if self._torn else "") + self.format(record) + "\n").encode()
            self._torn = True
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._torn = False


class Printed(io.TextIOBase):
    """What is printed, as lines of the log."""

    encoding = "utf-8"

    def __init__(self, name: str, level: int, descriptor: int) -> None:
        self._log = logging.getLogger(name)
        self._level = level
        self._descriptor = descriptor
        self._turn = threading.RLock()
        self._rest = ""

    def write(self, text: str, /) -> int:
        with self._turn:
            *lines, self._rest = (self._rest + text).split("\n")
            if len(self._rest) > LONGEST:
                lines, self._rest = [*lines, self._rest], ""
        for line in filter(str.strip, lines):
            self._log.log(self._level, "%s", line.rstrip("\r"))
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


class _Lines(ProcessorFormatter):
    def __init__(self, cleaner: Cleaner, service: str, as_json: bool) -> None:
        super().__init__(processors=[self._fields, self._line], foreign_pre_chain=[_extra])
        self._cleaner = cleaner
        self._service = service
        self._render = json_line if as_json else text_line

    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as exc:  # wrong arguments, or an object that cannot be asked
            bare = {name: getattr(record, name) for name in ("name", "levelno", "levelname", "created")}
            event = f"{said(record.msg)} (this line cannot be written as it should: {type(exc).__name__})"
            return super().format(logging.makeLogRecord({**bare, "msg": event}))

    def _fields(self, _: Any, __: str, event: Fields) -> Fields:
        record: logging.LogRecord = event.pop("_record")
        text = self._cleaner.text
        core = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": text(record.levelname.lower()),
            "logger": text(record.name),
            "event": text(event.pop("event", "")),
            "service": self._service,
            **self._ids(),
        }
        exception = _exception(event.pop("exc_info", None))
        fixed = {*core, "exception", "_from_structlog"} - {*IDS}
        fields = {text(name): self._cleaner.field(name, value) for name, value in event.items() if name not in fixed}
        if exception is not None:
            fields["exception"] = "\n".join(self._cleaner.traceback(exception))
        return {**core, **fields}

    def _line(self, _: Any, __: str, fields: Fields) -> str:
        return self._render(fields)

    def _ids(self) -> dict[str, str]:
        """Of the request that is worked on; a task that lives on after it is not its own any more."""
        if found := _bound.get(None):
            trace, task = found
            ours = trace.status == 0 or (task is not None and task() is _current_task())
            return {name: getattr(trace, name) for name in IDS} if ours else {}
        if self._service in BATCHED:
            return {}
        given = {name: baggage.get_baggage(BAGGAGE + name) for name in IDS}
        return {name: self._cleaner.text(value) for name, value in given.items() if value}


def _extra(_: Any, __: str, event: Fields) -> Fields:
    record: logging.LogRecord = event["_record"]
    event.update((name, value) for name, value in record.__dict__.items() if name not in _STANDARD | event.keys())
    return event


def _exception(given: Any) -> BaseException | None:
    """As `logging` has it, or structlog."""
    if isinstance(given, BaseException):
        return given
    found = sys.exc_info() if given is True else given
    return found[1] if isinstance(found, tuple) else None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # a thread without a loop
        return None


def _as_json(settings: Settings, descriptor: int) -> bool:
    if settings.log_format != "auto":
        return settings.log_format == "json"
    return not os.isatty(descriptor)


def _secrets(settings: Settings) -> list[str]:
    values = [getattr(settings, name) for name in type(settings).model_fields]
    texts = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    sent = [value for server in settings.mcp_headers for value in settings.mcp_header(server).values()]
    return [*texts, *sent, *(value.rpartition(" ")[2] for value in sent)]  # also without `Bearer` before it


def _open(logger: logging.Logger) -> None:
    """Its lines come to our handler; files that it writes stay."""
    logger.handlers = [each for each in logger.handlers if type(each) is not logging.StreamHandler]
    logger.propagate = True
    if logger.name.partition(".")[0] in ("bentoml", "uvicorn", "circus"):
        logger.setLevel(logging.NOTSET)


def _set_levels(settings: Settings) -> None:
    """Libraries say less than we do."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.getLogger().setLevel(logging.INFO if level < logging.INFO else max(level, logging.WARNING))
    for name in ("bentoml", "stdout", "stderr", "py.warnings"):
        logging.getLogger(name).setLevel(max(level, logging.INFO))
    logging.getLogger("answerbox").setLevel(level)


def _uncaught(kind: type[BaseException], exc: BaseException | None, _: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt | SystemExit):
        logging.getLogger("answerbox").critical("uncaught exception", exc_info=exc)

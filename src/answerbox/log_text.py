"""The text of a line of the log: whatever stands in it, it is one line, drives no terminal and tells no secret."""

from __future__ import annotations

import json
import math
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

LONGEST = 10_000
"""Characters of one text."""
TAIL = 500
"""Longer than a secret: so much is not shown of a text whose end was not read."""
MAX_ITEMS = 100
MAX_DEPTH = 6
MAX_FRAMES = 40
MAX_CAUSES = 8
LARGEST = 2**63
CUT = "…"
HIDDEN = "***"
INDENT = "    "
"""Before each line of a traceback, so that none is taken for a line of the log."""

UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""Ends of lines, controls, what turns the direction of writing, what nobody sees, half characters."""
SIMPLE = re.compile(r"[\w.:/@%+,{}-]+")
SECRET_NAMES = re.compile(
    r"(?i).*(password|passwd|secret|api[_-]?key|access[_-]?key|private[_-]?key|authorization|cookie).*|token"
)
SECRETS = (
    re.compile(r"\bab_[0-9a-f]{8}_()[\w-]{8,}"),  # as in keys.py
    re.compile(r"(?i)\b(bearer\s{1,3})[^\s\"',;]{6,}"),
    re.compile(r"\b([Bb]asic\s{1,3})(?=\S{0,200}[A-Z0-9=])[A-Za-z0-9+/]{6,}={0,2}"),
    re.compile(
        r"(?i)\b((?:proxy-)?(?:authorization|x-api-key|api[_-]?key|cookie|password|secret)[\"']?\s{0,3}[=:,]\s{0,3}"
        r"b?[\"']?(?:(?:bearer|basic|token)\s{1,3})?)(?!\*)[^\s\"',;]{4,}"
    ),
    re.compile(r"(?<![\w-])()[spr]k-[\w-]{12,}"),
    re.compile(r"(://)[^\s/@]{1,300}@"),
)
"""The group is kept."""
HINT = re.compile(r"(?i)ab_|bearer|basic|authorization|api[_-]?key|cookie|password|secret|[spr]k-|://|input_value=")
"""Without one of these in a text no pattern is found there."""
INPUT = re.compile(r"(input_value=).{0,400}?(?=, input_type=)", re.DOTALL)
"""As pydantic shows what it was given."""


class Cleaner:
    """Makes plain values of whatever is logged. `secrets` are texts that must not be shown, wherever they stand."""

    def __init__(self, secrets: Sequence[str] = (), content: bool = False) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._content = content
        self._patterns = SECRETS if content else (*SECRETS, INPUT)

    def text(self, value: object) -> str:
        whole = said(value)
        text = self._without_secrets(whole[: LONGEST + TAIL])
        return text if len(whole) <= LONGEST else f"{text[:-TAIL][:LONGEST]}{CUT} ({len(whole)} characters)"

    def plain(self, value: object, depth: int = MAX_DEPTH) -> Any:
        """What JSON can say."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and abs(value) < LARGEST:
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._composed(value, depth - 1)
        return self.text(value)

    def field(self, name: object, value: object, depth: int = MAX_DEPTH) -> Any:
        if isinstance(value, str | bytes) and SECRET_NAMES.fullmatch(said(name)[:TAIL]):
            return HIDDEN
        return self.plain(value, depth)

    def _composed(self, value: Any, depth: int) -> Any:
        if depth < 0:
            return CUT
        try:
            items = [item for item, _ in zip(value, range(MAX_ITEMS), strict=False)]
            if isinstance(value, Mapping):
                return {self.text(name): self.field(name, value[name], depth) for name in items}
            return [self.plain(item, depth) for item in items]
        except Exception as exc:  # an object of others may do anything when it is asked
            return _unsayable(value, exc)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        for pattern in self._patterns if HINT.search(text) else ():
            text = pattern.sub(_hidden, text)
        return text

    def traceback(self, exc: BaseException) -> list[str]:
        """Its lines, causes first; what came from outside is escaped in them."""
        return [escaped(self.text(line)) for line in self._chain(exc, set())]

    def _chain(self, exc: BaseException, seen: set[int]) -> Iterator[str]:
        seen.add(id(exc))
        cause = exc.__cause__ or (None if exc.__suppress_context__ else exc.__context__)
        if cause is not None and id(cause) not in seen and len(seen) < MAX_CAUSES:
            yield from self._chain(cause, seen)
            yield "which led to:" if exc.__cause__ else "while that was handled:"
        yield from _frames(exc)
        yield f"{type(exc).__module__}.{type(exc).__qualname__}: {self._message(exc)}"
        for note in getattr(exc, "__notes__", ())[:MAX_CAUSES]:
            yield said(note)
        for part in getattr(exc, "exceptions", ())[:MAX_CAUSES] if isinstance(exc, BaseExceptionGroup) else ():
            if id(part) not in seen and len(seen) < MAX_CAUSES:
                yield from (f"| {line}" for line in self._chain(part, seen))

    def _message(self, exc: BaseException) -> str:
        """pydantic repeats the input, which may be a question."""
        if not isinstance(exc, ValidationError) or self._content:
            return said(exc)
        faults = exc.errors(include_url=False, include_context=False, include_input=False)
        return f"{exc.title}: " + "; ".join(f"{'.'.join(map(said, fault['loc']))}: {fault['type']}" for fault in faults)


def said(value: object) -> str:
    try:
        return str.__str__(value) if isinstance(value, str) else str(value)
    except Exception as exc:
        return _unsayable(value, exc)


def _unsayable(value: object, exc: Exception) -> str:
    return f"<{type(value).__name__}: {type(exc).__name__}>"


def _hidden(found: re.Match[str]) -> str:
    return found[1] + HIDDEN


def _frames(exc: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(exc.__traceback__, limit=-MAX_FRAMES):
        yield f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
        if frame.line:
            yield f"  {frame.line}"


def escaped(text: str) -> str:
    """As Python would write it, but for the letters of all languages."""
    return UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def json_line(fields: Mapping[str, Any]) -> str:
    return UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], json.dumps(fields, ensure_ascii=False))


def text_line(fields: Mapping[str, Any]) -> str:
    """For people. The lines of `exception` stand below it, indented."""
    rest = dict(fields)
    timestamp, level, service, logger = (rest.pop(name) for name in ("timestamp", "level", "service", "logger"))
    event, exception = rest.pop("event"), rest.pop("exception", None)
    pairs = "".join(f" {_shown(name)}={_shown(value)}" for name, value in rest.items())
    below = exception.split("\n") if exception else []
    return f"\n{INDENT}".join(map(escaped, [f"{timestamp} {level:<7} {service} {logger}: {event}{pairs}", *below]))


def _shown(value: Any) -> str:
    if isinstance(value, str) and SIMPLE.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)

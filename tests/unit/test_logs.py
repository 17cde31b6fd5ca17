"""The log: one line for each event whatever stands in it, what a request's line has, whose ids a line has."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, context
from pydantic import BaseModel, SecretStr, ValidationError

from answerbox import keys, logs
from answerbox.errors import AnswerboxError, IndexUnavailable
from answerbox.log_text import INDENT, LONGEST, UNSAFE
from answerbox.settings import Settings
from answerbox.traces import Observation, Trace, trace_of

PIECES = ["\n", "\r\n", "\x85", "\u2028", "\u2029", "\x1b[2J\x1b[31m", "\x1b]0;t\x07", "\x00", "\x9b31m", "\u202e"]
PIECES += [
    "\ud800",
    "\udfff",
    "\u200b",
    "\U000e0041",
    '"}\n{"event": "forged"}',
    "\n    File",
    "%s %d",
    "{",
    "\\n",
    "🍞",
]
TEXTS = st.lists(st.text() | st.characters() | st.sampled_from(PIECES), max_size=6).map("".join)
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=9),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=6,
)
FORMS = pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])


def record(message: object, *args: object, name: str = "answerbox.x", **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.INFO, "", 0, message, args, None)
    made.__dict__.update(fields)
    return made


def failed(message: str) -> Any:
    try:
        try:
            raise KeyError(message)
        except KeyError as exc:
            raise ValueError(message) from exc
    except ValueError:
        return sys.exc_info()


def line(made: logging.LogRecord, as_json: bool = True, **given: Any) -> str:
    return logs.formatter(Settings(**given), "Answerbox", as_json=as_json).format(made)


def fields(made: logging.LogRecord, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line(made, **given))
    return found


@settings(deadline=None)
@given(message=TEXTS, argument=TEXTS, name=TEXTS, field=TEXTS, value=VALUES, fault=TEXTS)
def test_nothing_makes_a_second_line_or_drives_a_terminal(
    message: str, argument: str, name: str, field: str, value: Any, fault: str
) -> None:
    made = record(message, name=name, exc_info=failed(fault), **{f"x{field}": value})
    as_json = line(made)
    assert not UNSAFE.search(as_json)
    assert json.loads(as_json)["service"] == "Answerbox"
    head, *below = line(made, as_json=False).split("\n")
    assert not any(UNSAFE.search(each) for each in (head, *below))
    assert all(each.startswith(INDENT) for each in below)
    assert len(below) == len(json.loads(line(record("", exc_info=failed("harmless"))))["exception"].split("\n"))
    assert "\n" not in line(record(message + "%s", argument, name=name), as_json=False)


@given(message=st.text(max_size=200))
def test_json_gives_back_what_was_logged(message: str) -> None:
    found = fields(record("%s", message.replace("=", "").replace(":", "")))
    assert found["event"] == message.replace("=", "").replace(":", "")


def test_the_fields_of_a_line() -> None:
    found = fields(record("it is %d", 3, job_id="job-1", none=None, level="forged", service="forged"))
    assert found.pop("timestamp")[10:11] == "T"
    assert found == {
        "level": "info",
        "logger": "answerbox.x",
        "event": "it is 3",
        "service": "Answerbox",
        "job_id": "job-1",
        "none": None,
    }


def test_text_is_for_people() -> None:
    shown = line(record("it is %d", 3, job_id="job-1", title="Two words", exc_info=failed("a\nb")), as_json=False)
    assert ' info    Answerbox answerbox.x: it is 3 job_id=job-1 title="Two words"\n' in shown
    assert "which led to:" in shown
    assert shown.endswith(rf"{INDENT}builtins.ValueError: a\nb")


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")


@FORMS
@pytest.mark.parametrize(
    "value",
    [Hostile(), float("nan"), 10**5000, [[[[[[[[[1]]]]]]]]], {Hostile(): 1}, object],
    ids=["hostile", "nan", "long", "deep", "key", "class"],
)
def test_whatever_is_logged_gets_a_line(as_json: bool, value: Any) -> None:
    for made in (record("%s", value), record(value), record("x", field=value), record("%d %d", value)):
        shown = line(made, as_json)
        assert "\n" not in shown
        assert not as_json or json.loads(shown)["event"]


def test_a_long_text_is_cut() -> None:
    assert LONGEST <= len(fields(record("x" * 10**6))["event"]) < LONGEST + 50


def test_groups_notes_and_endless_causes_are_told() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    first.add_note("a note\nof two lines")
    told = fields(record("x", exc_info=(ExceptionGroup, ExceptionGroup("both", [first, second]), None)))["exception"]
    assert {"| builtins.ValueError: first", r"| a note\nof two lines"} <= set(told.split("\n"))


class Body(BaseModel):
    question: int


def wrong_body() -> ValidationError:
    given = {"question": "hunter2"}
    with pytest.raises(ValidationError) as caught:
        Body.model_validate(given)
    return caught.value


def test_what_pydantic_was_given_is_shown_only_where_content_is() -> None:
    for made in (record("x", exc_info=(None, wrong_body(), None)), record("%r", wrong_body())):
        assert "hunter2" not in line(made)
        assert "question" in line(made)
        assert "hunter2" in line(made, log_content=True)


def test_a_callers_fault_has_no_traceback_of_bentomls() -> None:
    class RagRequest(Body):
        pass

    with pytest.raises(ValidationError) as caught:
        RagRequest.model_validate({})
    fault = (ValidationError, caught.value, None)
    assert not logs.wanted(record("x", name="bentoml._internal.server.http_app", exc_info=fault))
    assert logs.wanted(record("x", exc_info=fault))


def test_no_secret_is_shown(tmp_path: Any) -> None:
    own, _ = keys.create(tmp_path / "keys.json", "me", ["query"])
    given: dict[str, Any] = {
        "llm_api_key": SecretStr("plain words of a key"),
        "langfuse_secret_key": SecretStr("sk-lf-0123"),
    }
    given |= {
        "mcp_servers": {"desk": "http://desk.example/mcp", "shop": "http://shop.example/mcp"},
        "mcp_headers": {
            "desk": SecretStr("X-Key: of-the-desk"),
            "shop": SecretStr("Authorization: Bearer of-the-shop"),
        },
    }
    texts = [
        own,
        f"Authorization: Bearer {own}",
        "{'authorization': 'Bearer abcdefgh'}",
        "(b'x-api-key', b'abcdefgh')",
        "Authorization: Basic YWJjZGVmZ2g=",
        "plain words of a key",
        "sk-lf-0123",
        "the server says of-the-desk and of-the-shop",
        "redis://:abcdefgh@host:6379",
    ]
    for text in texts:
        made = record(
            text, value=text, deep=[{text: text}], exc_info=failed(text), api_key="abcdefgh", token="abcdefgh"
        )
        for as_json in (True, False):
            shown = line(made, as_json, **given)
            hidden = (own, "abcdefgh", "YWJj", "plain words", "lf-0123", "of-the-desk", "of-the-shop")
            assert not [secret for secret in hidden if secret in shown], text
    assert fields(record("tokens: 3, basic things", tokens=3))["event"] == "tokens: 3, basic things"


# A request


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[..., list[logging.LogRecord]]:
    caplog.set_level(logging.DEBUG, "answerbox")

    made = functools.cache(Settings)

    def told(trace: Trace, *, probe: bool = False, **given: Any) -> list[logging.LogRecord]:
        caplog.clear()
        logs.log_request(made(**given), trace, "POST", "/rag_query", client="::1", key="ops", probe=probe)
        return list(caplog.records)

    return told


Lines = Callable[..., list[logging.LogRecord]]


def trace(status: int = 200, error: AnswerboxError | None = None, id_: str = "request-1") -> Trace:
    made = trace_of("rag_query", id_)
    made.user_id, made.root.kind = "somebody", "chain"
    made.root.input, made.root.output = {"question": "hunter2 " * 1_000, "context": "hunter2"}, "hunter2"
    made.observations += [
        Observation("search", "retriever", 1, duration_ms=2.5, retries=1),
        Observation("generate", "generation", 4, duration_ms=10, usage={"input": 7, "output": 3, "total": 10}),
        Observation("generate", "generation", 15, duration_ms=5, usage={"input": 1, "output": 1, "total": 2}),
    ]
    made.degraded.append("vectors")
    made.end(status, error)
    return made


def test_the_line_of_a_request(lines: Lines) -> None:
    [made] = lines(trace())
    found = fields(made)
    assert found["event"] == "request"
    assert found["steps"] == {"search": 2.5, "generate": 15.0}
    expected = {"request_id": "request-1", "method": "POST", "route": "/rag_query", "status": 200, "retries": 1}
    expected |= {"tokens_in": 8, "tokens_out": 4, "degraded": ["vectors"], "pipeline": "rag", "key": "ops"}
    assert expected.items() <= found.items()
    assert len(found["user"]) == logs.USER_DIGITS
    assert "code" not in found
    assert "hunter2" not in line(made)
    assert "somebody" not in line(made)


def test_content_is_shown_where_it_is_switched_on_and_cut(lines: Lines) -> None:
    [made] = lines(trace(), log_content=True)
    found = fields(made, log_content=True)
    assert (len(found["question"]), found["answer"]) == (logs.CONTENT_CHARS, "hunter2")


def test_an_unknown_path_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "answerbox")
    logs.log_request(Settings(), trace(404), "GET", "/\n" * 1_000)
    assert fields(caplog.records[0])["route"] == "/\n" * (logs.ROUTE_CHARS // 2)


@pytest.mark.parametrize(
    ("status", "error", "probe", "level"),
    [
        (200, None, False, "INFO"),
        (404, None, False, "INFO"),
        (499, None, False, "INFO"),
        (503, IndexUnavailable("x"), False, "ERROR"),
        (200, IndexUnavailable("x"), False, "ERROR"),
        (200, None, True, "DEBUG"),
        (503, IndexUnavailable("x"), True, "WARNING"),
        (401, None, True, "INFO"),
    ],
)
def test_how_bad_it_is(lines: Lines, status: int, error: AnswerboxError | None, probe: bool, level: str) -> None:
    [made] = lines(trace(status, error), probe=probe)
    assert made.levelname == level
    assert getattr(made, "code", None) == (error.code if error else None)


def test_a_share_of_what_went_well_is_logged_and_all_that_failed(lines: Lines) -> None:
    def share(requests: int, **outcome: Any) -> float:
        told = [lines(trace(id_=f"request-{n}", **outcome), log_sample=0.25) for n in range(requests)]
        return sum(map(len, told)) / requests

    assert 0.15 < share(400) < 0.35
    assert share(20, status=404) == share(20, error=IndexUnavailable("x")) == 1
    assert not lines(trace(), log_sample=0)


# Whose ids


def ids() -> str | None:
    return fields(record("x")).get("request_id")


async def test_the_ids_of_a_request_stand_in_its_lines_only() -> None:
    async def handle(id_: str) -> tuple[str | None, str | None, asyncio.Task[str | None], str | None]:
        made, ended = trace_of("request", id_), asyncio.Event()

        async def later() -> str | None:
            await ended.wait()
            return ids()

        logs.bind(made)
        background = asyncio.create_task(later())
        await asyncio.sleep(0)
        before, in_thread = ids(), await asyncio.to_thread(ids)
        made.end(200)
        ended.set()
        return before, in_thread, background, ids()

    for id_, outcome in zip(
        "ab", await asyncio.gather(*(asyncio.create_task(handle(id_)) for id_ in "ab")), strict=True
    ):
        before, in_thread, background, after = outcome
        assert (before, in_thread, after) == (id_, id_, id_)
        assert await background is None
    assert ids() is None


def test_the_ids_reach_other_services_but_for_one_that_joins_requests() -> None:
    name, value = logs.carried(trace())
    assert name == b"baggage"
    made = context.get_current()
    for pair in value.decode().split(","):
        key, _, said = pair.partition("=")
        made = baggage.set_baggage(key, said, made)
    token = context.attach(made)
    try:
        assert ids() == "request-1"
        joined = logs.formatter(Settings(), "Embedder", as_json=True).format(record("x"))
        assert "request_id" not in json.loads(joined)
    finally:
        context.detach(token)

"""What arrives at a backend of traces from a real service with two gateway processes, and what gets in nobody's way."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.test_cli import answerbox
from tests.e2e.test_evaluation import made_animals
from tests.feedback_kit import feedback_arrives, give_feedback, score_of
from tests.live import Live, start, stop, wait_until
from tests.otlp_receiver import Receiver, Span, otlp_receiver

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
BREAD = {"id": "bread", "text": "The bakery opens at six. The bread is baked at night."}
SECRET = "sk-lf-0123456789abcdef"
MIXED = 200
AT_A_TIME = 16
STOP_S = 10.0
PROMPT = "The operator's own words."
ANSWERS_S = 15.0
"""For twenty; each of them would wait three seconds for the backend if it waited for it."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as made:
        made.prompts = {"answerbox-rag-en": PROMPT, "answerbox-llm-ru": PROMPT}
        yield made


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Live]:
    live = start(
        tmp_path_factory.mktemp("traced"),
        generator_model="fake",
        embedder_model="fake",
        fake_token_delay_s="0.002",
        gateway_workers="2",
        langfuse_public_key="pk-lf-test",
        langfuse_secret_key=SECRET,
        langfuse_base_url=receiver.url,
    )
    try:
        live.index([BREAD])
        yield live
    finally:
        if live.process.poll() is None:
            stop(live.process)


def root_of(receiver: Receiver, trace_id: str) -> Span:
    """The root of a trace, once it is there."""
    [root] = wait_until(lambda: receiver.traces().get(trace_id), 15, f"the trace {trace_id}")
    found: Span = root
    return found


def kind(span: Span) -> Any:
    return span.attributes["langfuse.observation.type"]


def tree(span: Span) -> list[Any]:
    return [span.name, kind(span), *([tree(child) for child in span.children])]


def metadata(span: Span, name: str) -> str:
    return str(span.attributes[f"langfuse.observation.metadata.{name}"])


def test_an_llm_answer_is_a_chain_with_a_generation(traced: Live, receiver: Receiver) -> None:
    body = {"question": "one two three", "user_id": "ada", "session_id": "s1", "options": {"max_tokens": 2}}
    meta = traced.post("/llm_query", body).json()["meta"]
    root = root_of(receiver, meta["trace_id"])
    assert tree(root) == ["llm_query", "chain", ["generate", "generation"]]
    assert (root.attributes["user.id"], root.attributes["session.id"]) == ("ada", "s1")
    assert metadata(root, "request_id") == meta["request_id"]
    generation = root.children[0]
    assert json.loads(generation.attributes["langfuse.observation.usage_details"])["output"] == 2
    assert generation.attributes["langfuse.observation.model.name"] == "fake"
    assert "one two three" in generation.attributes["langfuse.observation.input"]
    assert float(metadata(generation, "queue_ms")) >= 0
    assert float(metadata(generation, "batch")) >= 1


@pytest.mark.parametrize("path", ["/rag_query", "/rag_query/stream"])
def test_a_rag_answer_shows_every_step_of_every_process(traced: Live, receiver: Receiver, path: str) -> None:
    trace_id = f"{len(path):032x}"
    with traced.client() as client:
        headers = {"traceparent": f"00-{trace_id}-{PARENT}-00"}
        answer = client.post(path, json={"question": "When does the bakery open?"}, headers=headers)
    assert answer.status_code == 200
    assert trace_id in answer.text
    root = root_of(receiver, trace_id)
    assert (root.name, kind(root), root.parent_id) == ("rag_query", "chain", PARENT)
    assert [child.name for child in root.children] == ["search", "generate"]
    search = root.children[0]
    assert sorted(child.name for child in search.children) == ["embed", "rank", "vectors", "words"]
    [embed] = [child for child in search.children if child.name == "embed"]
    assert kind(embed) == "embedding"
    assert float(metadata(embed, "batch")) >= 1
    assert float(metadata(embed, "model_ms")) >= 0
    [hit] = json.loads(search.attributes["langfuse.observation.output"])
    assert (hit["document_id"], hit["text"]) == ("bread", BREAD["text"])
    for span in root.walk():
        assert root.start_ns <= span.start_ns <= span.end_ns <= root.end_ns + 1_000_000


def test_a_call_of_an_mcp_tool_is_a_trace_and_other_messages_are_none(traced: Live, receiver: Receiver) -> None:
    asks = {"name": "ask", "arguments": {"question": "When does the bakery open?"}}
    ids = {"tools/list": "c" * 32, "tools/call": "d" * 32}
    with traced.client() as client:
        for method, trace_id in ids.items():
            params = asks if method == "tools/call" else {}
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            headers = {"traceparent": f"00-{trace_id}-{PARENT}-00"}
            assert client.post("/mcp", json=message, headers=headers).status_code == 200
    root = root_of(receiver, ids["tools/call"])
    assert (root.name, kind(root)) == ("rag_query", "chain")
    assert [child.name for child in root.children] == ["search", "generate"]
    assert "mcp" in root.attributes["langfuse.trace.tags"]
    assert ids["tools/list"] not in receiver.traces()


def test_an_evaluation_is_an_experiment_of_the_answers_traces(traced: Live, receiver: Receiver, tmp_path: Path) -> None:
    keys = {"LANGFUSE_PUBLIC_KEY": "pk-lf-test", "LANGFUSE_SECRET_KEY": SECRET, "LANGFUSE_BASE_URL": receiver.url}
    done = answerbox("eval", made_animals(tmp_path / "animals"), "--url", traced.url, "--langfuse", **keys)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "dataset animals-en, run fake 2" in done.stdout
    items = [span for span in receiver.spans if span.name == "experiment-item"]
    assert {span.attributes["langfuse.experiment.item.id"] for span in items} == set(receiver.datasets.items)
    assert (len(items), set(receiver.datasets.sets)) == (4, {"animals-en", "animals-ru"})

    def with_steps() -> list[Span]:
        roots = [root_of(receiver, item.trace_id) for item in items]
        return roots if all(root.children for root in roots) else []

    for root in wait_until(with_steps, 15, "the answers stand below their items"):
        assert [(child.name, child.attributes["langfuse.internal.as_root"]) for child in root.children] == [
            ("rag_query", True)
        ]
        [answer] = root.children
        assert root.start_ns - 1_000_000 <= answer.start_ns
        scored = {score["observationId"] for score in receiver.taken_scores if score["traceId"] == root.trace_id}
        assert scored == {root.span_id}


def test_the_operators_own_prompt_is_used_and_named(traced: Live, receiver: Receiver) -> None:
    meta = traced.post("/llm_query", {"question": "Сколько стоит хлеб?"}).json()["meta"]
    assert meta["prompt"] == "answerbox-llm-ru@1"
    [generation] = root_of(receiver, meta["trace_id"]).children
    assert PROMPT in generation.attributes["langfuse.observation.input"]
    assert generation.attributes["langfuse.observation.prompt.name"] == "answerbox-llm-ru"
    assert generation.attributes["langfuse.observation.prompt.version"] == 1


def test_feedback_becomes_a_score_of_the_trace(traced: Live, receiver: Receiver) -> None:
    feedback_arrives(traced, receiver)


def test_feedback_that_is_given_twice_is_one_score(traced: Live, receiver: Receiver) -> None:
    meta = traced.post("/llm_query", {"question": "one", "user_id": "ada"}).json()["meta"]
    said = {"request_id": meta["request_id"], "score": -1, "comment": "Wrong.", "user_id": "ada"}
    given = [give_feedback(traced, **said) for _ in range(2)]
    score = score_of(receiver, given[0]["score_id"])
    assert (score["traceId"], score["value"], score["comment"]) == (meta["trace_id"], -1, "Wrong.")
    mine = [score for score in receiver.scores if score["traceId"] == meta["trace_id"]]
    assert {(score["value"], score["comment"]) for score in mine} == {(-1, "Wrong.")}
    assert {score["id"] for score in mine} == {each["score_id"] for each in given}


def test_a_failure_is_in_the_trace_by_its_code(traced: Live, receiver: Receiver) -> None:
    problem = traced.post("/llm_query", {"question": "word " * 1_500, "context": "word " * 8_000}).json()
    assert problem["code"] == "prompt_too_long"
    root = root_of(receiver, problem["trace_id"])
    assert (root.status[0], root.attributes["langfuse.observation.level"]) == (2, "ERROR")
    assert root.attributes["langfuse.observation.status_message"] == "prompt_too_long"
    assert [(child.name, child.status[0]) for child in root.children] == [("generate", 2)]


def test_a_reader_who_hangs_up_is_in_the_trace(traced: Live, receiver: Receiver) -> None:
    body = {"question": "w " * 3_000, "options": {"max_tokens": 4_000}}
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    with traced.client() as client, client.stream("POST", "/llm_query/stream", json=body, headers=headers) as response:
        next(response.iter_lines())
    root = root_of(receiver, TRACE)
    assert metadata(root, "status") == "499"
    assert root.children[0].attributes["langfuse.observation.status_message"] == "cancelled"


def test_a_hostile_baggage_sets_nobody(traced: Live, receiver: Receiver) -> None:
    hostile = {"baggage": "langfuse_user_id=evil,langfuse_session_id=evil,langfuse_tags=evil,user.id=evil"}
    with traced.client() as client:
        meta = client.post("/llm_query", json={"question": "x", "user_id": "bob"}, headers=hostile).json()["meta"]
    root = root_of(receiver, meta["trace_id"])
    for span in root.walk():
        assert span.attributes["user.id"] == "bob"
        assert "evil" not in str(span.attributes) + str(span.resource)


def test_what_has_no_place_in_a_trace_is_not_there(traced: Live, receiver: Receiver) -> None:
    question = f"My key is {SECRET}, my address ada@example.org, call +7 912 345-67-89"
    meta = traced.post("/llm_query", {"question": question}).json()["meta"]
    root = root_of(receiver, meta["trace_id"])
    shown = str([span.attributes for span in root.walk()])
    assert [secret for secret in (SECRET, "ada@example.org", "345-67-89") if secret in shown] == []


def test_requests_that_nobody_was_let_in_for_make_no_trace(traced: Live, receiver: Receiver) -> None:
    before = len(receiver.traces())
    for path in ("/nope", "/health", "/documents"):
        traced.get(path)
    last = traced.post("/llm_query", {"question": "last"}).json()["meta"]["trace_id"]
    root_of(receiver, last)
    assert len(receiver.traces()) <= before + 1


def ask(client: httpx.Client, number: int) -> tuple[str, str, str]:
    """(trace id, user, first word of the question) of one of the mixed requests."""
    path = ("/llm_query", "/rag_query", "/llm_query/stream", "/search")[number % 4]
    user, text = f"user-{number}", f"q{number} bread"
    body = {"query" if path == "/search" else "question": text, "user_id": user}
    answer = client.post(path, json=body, headers={"X-Request-Id": f"{number:032x}"})
    assert answer.status_code == 200, answer.text
    return f"{number:032x}", user, text.split()[0]


def test_mixed_requests_are_each_a_whole_trace_of_the_right_user(traced: Live, receiver: Receiver) -> None:
    with traced.client() as client, ThreadPoolExecutor(AT_A_TIME) as pool:
        asked = list(pool.map(lambda number: ask(client, number), range(10_000, 10_000 + MIXED)))
    for trace_id, user, word in asked:
        root = root_of(receiver, trace_id)
        assert {span.attributes["user.id"] for span in root.walk()} == {user}
        assert word in root.attributes["langfuse.observation.input"]
        assert all(child.parent_id for child in root.walk() if child is not root)
        assert root.children, root.name


def test_a_backend_that_hangs_costs_nobody_anything(traced: Live, receiver: Receiver) -> None:
    """The last of this module: it stops the service."""
    receiver.mode = "hang"
    began = time.monotonic()
    for _ in range(20):
        assert traced.post("/llm_query", {"question": "x"}).status_code == 200
    assert time.monotonic() - began < ANSWERS_S
    began = time.monotonic()
    traced.process.send_signal(signal.SIGTERM)
    assert traced.process.wait(30) == 0
    assert time.monotonic() - began < STOP_S

"""What the clients send, and how they read what is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import BaseModel

from answerbox.client import Client, File, fields
from answerbox.contracts import (
    AgentRequest,
    CustomRequest,
    DocumentIn,
    FeedbackRequest,
    Job,
    LlmRequest,
    Options,
    RagRequest,
    SearchRequest,
)
from answerbox.errors import BadUpstream, Conflict, DeadlineExceeded, InvalidRequest, Unavailable
from tests.client_kit import CALLERS, Caller, Reply, Script, answer
from tests.live import free_port
from tests.unit.client.conftest import Make

BEFORE: dict[str, Any] = {"stage": "indexing", "done": 0, "total": 1, "created_at": "then"}
RUNNING = Job(job_id="j/1", status="running", **BEFORE)
ENDED = RUNNING.model_copy(update={"status": "succeeded", "stage": "ended", "done": 1, "finished_at": "now"})


def test_a_question_goes_with_its_key_its_id_and_its_fields(make: Make, script: Script) -> None:
    script.replies = [Reply(body=answer("Париж.").model_dump())]
    about: dict[str, Any] = {"request_id": "order-4711", "deadline_s": 2.5, "traceparent": "00-ab-cd-01"}
    options = Options(max_tokens=7)
    found = make(key=" ab_key\n", deadline_s=9).call("llm", " Столица? ", context="Франция", options=options, **about)
    assert found == answer("Париж.")
    [asked] = script.asked
    assert (asked.method, asked.path) == ("POST", "/llm_query")
    assert asked.json == {"question": "Столица?", "context": "Франция", "options": {"max_tokens": 7}}
    wanted = {
        "Authorization": "Bearer ab_key",
        "X-Request-Id": "order-4711",
        "X-Request-Timeout": "2.5",
        "traceparent": "00-ab-cd-01",
    }
    assert {name: asked.headers.get(name.lower()) for name in wanted} == wanted


def test_address_and_key_are_those_of_the_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_URL", script.url)
    monkeypatch.setenv("ANSWERBOX_API_KEY", "ab_env")
    script.replies = [Reply(body=answer().model_dump())]
    with Client() as client:
        client.llm("Why?")
    assert script.asked[0].headers["authorization"] == "Bearer ab_env"


def test_fields_replace_parts_of_a_whole_request(caller: Caller, script: Script) -> None:
    script.replies = [Reply(body=answer().model_dump())]
    caller.call("llm", LlmRequest(question="Why?", user_id="ada", context=None), user_id="bob")
    assert script.asked[0].json == {"question": "Why?", "user_id": "bob"}


@pytest.mark.parametrize(
    ("method", "given", "more"),
    [
        ("llm", [" "], {}),
        ("llm", ["Why?"], {"top_k": 3}),
        ("llm", ["Why?"], {"request_id": "short"}),
        ("llm", ["Why?"], {"deadline_s": 0}),
        ("llm", ["Why?"], {"traceparent": "two\r\nlines"}),
        ("rag", ["Why?"], {"filter": {"$or": 1}}),
        ("feedback", [0.5], {}),
        ("add_documents", [[]], {}),
        ("upload", [[]], {}),
        ("document", [".."], {}),
    ],
)
def test_what_breaks_the_contract_is_not_sent(
    method: str, given: list[Any], more: dict[str, Any], caller: Caller, script: Script
) -> None:
    with pytest.raises(InvalidRequest):
        caller.call(method, *given, **more)
    assert script.asked == []


@pytest.mark.parametrize(
    ("typed", "contract", "of_the_call"),
    [
        (fields.LlmFields, LlmRequest, True),
        (fields.RagFields, RagRequest, True),
        (fields.AgentFields, AgentRequest, True),
        (fields.CustomFields, CustomRequest, True),
        (fields.SearchFields, SearchRequest, True),
        (fields.FeedbackFields, FeedbackRequest, False),
    ],
)
def test_the_typed_names_are_those_of_the_contract(typed: type, contract: type[BaseModel], of_the_call: bool) -> None:
    names = set(get_type_hints(typed)) - (set(get_type_hints(fields.CallFields)) if of_the_call else set())
    assert names == set(contract.model_fields) - {"question", "query", "score"}


def test_files_are_sent_whole_again_under_the_same_key(make: Make, script: Script, tmp_path: Path) -> None:
    (tmp_path / "зебра.md").write_text("The zebra wears stripes.")
    script.replies = [Reply(503, {"code": "not_ready", "detail": "soon"}), Reply(202, RUNNING.model_dump())]
    files = [tmp_path / "зебра.md", File("deep/okapi.txt", b"The okapi hides.")]
    job = make().call("upload", files, metadata={"team": "zoo"}, language="en", user_id="ada")
    assert job == RUNNING
    first, second = script.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"] != ""
    for asked in (first, second):
        for part in (b"The zebra wears stripes.", b"deep/okapi.txt", b"The okapi hides.", b'{"team": "zoo"}', b"ada"):
            assert part in asked.body


def test_a_file_that_is_not_there_is_named(caller: Caller, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"gone\.md"):
        caller.call("upload", [tmp_path / "gone.md"])


def test_texts_have_the_callers_own_key(caller: Caller, script: Script) -> None:
    script.replies = [Reply(202, RUNNING.model_dump())]
    caller.call("add_documents", [DocumentIn(text="Квас бродит.", id="kvass")], idempotency_key="mine")
    assert script.asked[0].json == {"documents": [{"text": "Квас бродит.", "id": "kvass"}]}
    assert script.asked[0].headers["idempotency-key"] == "mine"


def test_names_in_a_path_are_one_part_of_it(caller: Caller, script: Script) -> None:
    script.replies = [Reply(204)]
    assert caller.call("delete_document", "docs/a b?.md", user_id="ada") is None
    assert (script.asked[0].method, script.asked[0].path) == ("DELETE", "/documents/docs%2Fa%20b%3F.md?user_id=ada")


def test_a_page_is_asked_for_by_the_last_id_of_the_one_before(caller: Caller, script: Script) -> None:
    script.replies = [Reply(body={"documents": [], "total": 0})]
    assert caller.call("documents", "я", 7).total == 0
    assert script.asked[0].path == "/documents?limit=7&after=%D1%8F"


def test_a_job_is_watched_until_it_has_ended(caller: Caller, script: Script) -> None:
    script.replies = [Reply(body=job.model_dump()) for job in (RUNNING, ENDED)]
    seen: list[Job] = []
    assert caller.call("wait", RUNNING, poll_s=0.01, watch=seen.append) == ENDED
    assert seen == [RUNNING, RUNNING]
    assert {asked.path for asked in script.asked} == {"/jobs/j%2F1"}


def test_a_cancelled_job_and_one_that_takes_too_long_are_failures(caller: Caller, script: Script) -> None:
    script.replies = [Reply(body=ENDED.model_copy(update={"status": "cancelled"}).model_dump())]
    with pytest.raises(Conflict, match="cancelled"):
        caller.call("wait", RUNNING, poll_s=0.01)
    with pytest.raises(DeadlineExceeded, match="not ended"):
        caller.call("wait", RUNNING, within_s=-1)


@pytest.mark.parametrize("kind", CALLERS)
def test_without_a_service_the_failure_names_the_address(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=url):
        kind(url, {"retry_s": 0}).call("health")


@pytest.mark.parametrize("kind", CALLERS)
@pytest.mark.parametrize(
    ("url", "key"), [("localhost:3000", None), ("http://x:port", None), ("http://", None), ("http://x", "ключ")]
)
def test_what_is_no_address_and_no_key_is_told_at_once(kind: Any, url: str, key: str | None) -> None:
    with pytest.raises(InvalidRequest):
        kind(url, {"key": key}).call("health")


@pytest.mark.parametrize(
    "reply", [Reply(body={"unheard": "of"}), Reply(body=b"<html>"), Reply(301, b"", {"Location": "http://x/"})]
)
def test_an_answer_of_something_else_is_a_bad_upstream(reply: Reply, caller: Caller, script: Script) -> None:
    script.replies = [reply]
    with pytest.raises(BadUpstream):
        caller.call("llm", "Why?")


def test_a_service_that_says_nothing_is_waited_for_so_long(make: Make, script: Script) -> None:
    script.replies = [Reply(end="silent")]
    with pytest.raises(DeadlineExceeded, match="timeout_s"):
        make(timeout_s=0.2).call("llm", "Why?")
    assert len(script.asked) == 1

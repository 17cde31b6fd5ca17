"""Both clients against a live service: answers, streams, documents, failures as their classes, hanging up."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from answerbox.client import Client, File
from answerbox.contracts import (
    AgentResponse,
    DocumentIn,
    DoneEvent,
    LlmResponse,
    MetaEvent,
    Options,
    RagResponse,
    TokenEvent,
)
from answerbox.errors import (
    AnswerboxError,
    Conflict,
    DocumentNotFound,
    InvalidRequest,
    JobNotFound,
    PayloadTooLarge,
    PromptTooLong,
    RequestNotFound,
    RouteNotFound,
    SessionNotFound,
)
from tests.client_kit import CALLERS, Caller
from tests.live import Live, wait_until

QUAGGA = "The quagga of the client has a brown coat. It lived in the Karoo."
ENDLESS = " ".join(["ж"] * 3_000)
"""A minute, at 20 ms a token."""
MANY = Options(max_tokens=4_096)
SOON_S = 20.0
JOB_S = 120.0


@pytest.fixture(params=CALLERS, ids=["blocking", "asyncio"])
def caller(request: pytest.FixtureRequest, fakes: Live) -> Caller:
    made: Caller = request.param(fakes.url, {"timeout_s": 120})
    return made


@pytest.fixture(scope="module")
def quagga(fakes: Live) -> str:
    """The id of a document."""
    with Client(fakes.url) as client:
        documents = [DocumentIn(id="client/квагга 1", title="Quagga", text=QUAGGA, metadata={"set": "client"})]
        assert client.wait(client.add_documents(documents), within_s=JOB_S).status == "succeeded"
    return "client/квагга 1"


@pytest.mark.parametrize(("method", "answer"), [("llm", LlmResponse), ("rag", RagResponse), ("agent", AgentResponse)])
def test_each_pipeline_answers_with_its_class_and_its_stream_says_the_same(
    method: str, answer: type[LlmResponse | RagResponse | AgentResponse], caller: Caller, quagga: str
) -> None:
    question = "What coat has the quagga of the client?"
    fields: dict[str, Any] = {} if method == "llm" else {"filter": {"set": "client"}}
    found = caller.call(method, question, **fields)
    assert type(found) is answer
    if not isinstance(found, LlmResponse):
        assert [source.document_id for source in found.meta.sources] == [quagga]
    events = caller.events(f"stream_{method}", question, **fields)
    last = events[-1]
    assert isinstance(last, DoneEvent)
    assert sum(isinstance(event, MetaEvent) for event in events) == 1
    assert type(last.response) is answer
    assert last.response.answer == found.answer
    assert "".join(event.text for event in events if isinstance(event, TokenEvent)) == found.answer


def test_documents_are_added_found_listed_and_deleted(caller: Caller, tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    (tmp_path / f"{name}.md").write_text(f"# Пума\n\nПума {name} живёт в горах.", encoding="utf-8")
    files = [tmp_path / f"{name}.md", File(f"{name}/b.txt", b"The puma sleeps.")]
    job = caller.call("upload", files, metadata={"set": name}, language="ru", user_id="ada")
    ended = caller.call("wait", job, within_s=JOB_S)
    assert (ended.status, ended.done, caller.call("job", job.job_id)) == ("succeeded", 2, ended)
    found = caller.call("document", f"{name}.md", user_id="ada")
    assert (found.title, found.language, found.metadata) == ("Пума", "ru", {"set": name})
    hits = caller.call("search", f"пума {name}", user_id="ada", filter={"set": name}, mode="words").hits
    assert hits[0].document_id == f"{name}.md"
    page = caller.call("documents", limit=1, user_id="ada")
    assert (len(page.documents), page.total >= 2) == (1, True)
    caller.call("delete_document", f"{name}.md", user_id="ada")
    with pytest.raises(DocumentNotFound):
        caller.call("document", f"{name}.md", user_id="ada")


def test_a_key_of_ones_own_makes_a_second_job_the_first(caller: Caller) -> None:
    key, documents = uuid.uuid4().hex, [DocumentIn(text=f"Of {uuid.uuid4().hex}.")]
    first, second = (caller.call("add_documents", documents, idempotency_key=key) for _ in range(2))
    assert first.job_id == second.job_id


def test_an_answer_gets_its_score(caller: Caller) -> None:
    meta = caller.call("llm", "one two", request_id=f"mine-{uuid.uuid4().hex}").meta
    given = caller.call("feedback", 1, request_id=meta.request_id, comment="Спасибо.")
    assert given.trace_id == meta.trace_id


def test_the_health_has_version_and_parts(caller: Caller) -> None:
    health = caller.call("health")
    assert health.models == {"generator": "fake", "embedder": "fake"}
    assert set(health.dependencies) == {"generator", "embedder", "index"}


def test_a_conversation_is_forgotten(caller: Caller) -> None:
    session = uuid.uuid4().hex
    caller.call("agent", "Who are you?", session_id=session, user_id="ada")
    caller.call("delete_session", session, user_id="ada")
    with pytest.raises(SessionNotFound):
        caller.call("delete_session", session, user_id="ada")


def test_a_running_answer_is_cancelled_by_its_id(caller: Caller, fakes: Live) -> None:
    id_, got = f"mine-{uuid.uuid4().hex}", list[LlmResponse]()
    asking = threading.Thread(target=lambda: got.append(caller.call("llm", ENDLESS, request_id=id_, options=MANY)))
    asking.start()
    try:
        wait_until(lambda: cancelled(fakes, id_), SOON_S, "it runs and is cancelled")
    finally:
        asking.join(120)
    assert got[0].meta.finish_reason == "cancelled"


def test_leaving_a_stream_ends_its_answer(caller: Caller, fakes: Live) -> None:
    id_ = f"mine-{uuid.uuid4().hex}"
    events = caller.events("stream_llm", ENDLESS, take=4, request_id=id_, options=MANY)
    assert [type(event) for event in events[:1]] == [MetaEvent]
    with Client(fakes.url) as client:
        wait_until(lambda: client.health().dependencies["generator"].detail.get("running") == 0, SOON_S, "it has ended")
    assert not cancelled(fakes, id_)


def cancelled(live: Live, request_id: str) -> bool:
    try:
        with Client(live.url) as client:
            client.cancel(request_id)
    except RequestNotFound:
        return False
    return True


def huge(caller: Caller) -> None:
    caller.call("add_documents", [DocumentIn(text="x" * 1_900_000)] * 6)


def of_an_ended_job(caller: Caller) -> None:
    job = caller.call("wait", caller.call("add_documents", [DocumentIn(text="Soon done.")]), within_s=JOB_S)
    caller.call("cancel_job", job.job_id)


@pytest.mark.parametrize(
    ("fails", "cls"),
    [
        pytest.param(lambda caller: caller.call("documents", limit=0), InvalidRequest, id="invalid"),
        pytest.param(huge, PayloadTooLarge, id="too-large"),
        pytest.param(lambda caller: caller.call("llm", "Why?", context="я " * 20_000), PromptTooLong, id="too-long"),
        pytest.param(
            lambda caller: caller.events("stream_llm", "Why?", context="я " * 20_000), PromptTooLong, id="sse"
        ),
        pytest.param(lambda caller: caller.call("document", "no/where"), DocumentNotFound, id="no-document"),
        pytest.param(lambda caller: caller.call("job", "nothing"), JobNotFound, id="no-job"),
        pytest.param(lambda caller: caller.call("cancel", "nothing-runs"), RequestNotFound, id="no-request"),
        pytest.param(of_an_ended_job, Conflict, id="conflict"),
        pytest.param(lambda caller: caller.call("llm", "Why?", deadline_s=99_999), InvalidRequest, id="header"),
    ],
)
def test_what_the_service_refuses_is_raised_as_its_class(
    fails: Callable[[Caller], None], cls: type[AnswerboxError], caller: Caller
) -> None:
    with pytest.raises(cls) as caught:
        fails(caller)
    assert type(caught.value) is cls
    assert caught.value.message
    assert caught.value.extra["request_id"]


@pytest.mark.parametrize("kind", CALLERS)
def test_a_path_that_is_not_there_is_told_as_that(kind: Callable[..., Caller], fakes: Live) -> None:
    with pytest.raises(RouteNotFound):
        kind(f"{fakes.url}/elsewhere").call("health")


def test_a_deadline_cuts_the_answer(caller: Caller) -> None:
    found = caller.call("llm", ENDLESS, deadline_s=5, options=MANY)
    assert (found.meta.finish_reason, found.answer.split()[:1]) == ("deadline", ["ж"])

"""The agent of a live service, driven by a scripted OpenAI-compatible server; and of one whose model calls no tools."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from answerbox.run import LocalAnswerbox
from answerbox.settings import Settings
from tests.agent_live import told, uses
from tests.live import Live, serving
from tests.openai_server import OpenAIServer, calling, openai_server, saying

TEXT = "The ferry to Kizhi leaves at nine. A ticket costs 450 roubles. The trip takes 75 minutes."
SEARCH = ("search_documents", '{"query": "price of a ticket for the ferry to Kizhi"}')
SUM = ("calculator", '{"expression": "450 * 4"}')
TOOLS = "tests.e2e.agent_tools"
SESSION_S = 3_600.0
SOON_S = 20.0
"""Much more than any of it takes on a slow machine, much less than it would if a bound did not hold."""


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture(scope="module")
def service(engine: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("agent")
    with pytest.MonkeyPatch.context() as patch:
        root = Path(__file__).parents[2]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")])))
        with serving(
            folder,
            llm_base_url=engine.url,
            embedder_model="fake",
            isolation="true",
            gateway_workers="2",
            agent_max_steps="4",
            session_s=str(SESSION_S),
            tools=json.dumps([f"{TOOLS}:{name}" for name in ("length", "broken", "stuck", "note", "wipe")]),
            allowed_tools='["note"]',
        ) as live:
            engine.wait_until_warm(2)
            assert live.index([{"id": "ferry", "title": "Ferry", "text": TEXT}])["status"] == "succeeded"
            yield live


@pytest.fixture
def script(engine: OpenAIServer) -> OpenAIServer:
    engine.renew()
    return engine


def ask(live: Live, question: str = "What do four tickets cost?", **fields: Any) -> dict[str, Any]:
    began = time.monotonic()
    answer = live.post("/agent_query", {"question": question, **fields})
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began < SOON_S
    found: dict[str, Any] = answer.json()
    return found


def test_two_tools_in_a_row(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(SEARCH), calling(SUM), saying("A ticket costs 450 roubles [1]. Four cost 1800.")]
    answer = ask(service)
    meta = answer["meta"]
    assert answer["answer"] == "A ticket costs 450 roubles [1]. Four cost 1800."
    assert uses(answer) == [("search_documents", "ok"), ("calculator", "ok")]
    assert (meta["pipeline"], meta["plan"], meta["ended_by"], meta["turns"]) == ("agent", "tools", "answer", 3)
    assert [source["document_id"] for source in meta["sources"]] == ["ferry"]
    assert meta["citations"][0]["source"] == 1
    assert meta["degraded"] == []
    assert told(script)[1] == "1800"
    assert [step["name"] for step in meta["steps"] if step["name"] in ("generate", "tool")] == [
        "generate",
        "tool",
        "generate",
        "tool",
        "generate",
    ]
    names = [tool["function"]["name"] for tool in script.asked[0]["tools"]]
    assert names == ["search_documents", "calculator", "current_time", "length", "broken", "stuck", "note"]


@pytest.mark.parametrize(
    ("call", "status", "word"),
    [
        pytest.param(("length", '{"value": "far", "unit": "ly"}'), "invalid", "value", id="wrong-argument"),
        pytest.param(("teleport", "{}"), "unknown", "length", id="unknown-tool"),
        pytest.param(("broken", "{}"), "failed", "The tool failed.", id="raises"),
        pytest.param(("stuck", "{}"), "timeout", "0.5 seconds", id="hangs"),
        pytest.param(("wipe", "{}"), "refused", "not allowed", id="side-effects"),
    ],
)
def test_a_tool_that_fails_is_the_models_matter(
    service: Live, script: OpenAIServer, call: tuple[str, str], status: str, word: str
) -> None:
    script.answers = [calling(call), calling(("length", '{"value": 2, "unit": "km"}')), saying("2000 m.")]
    answer = ask(service)
    assert (answer["answer"], uses(answer)) == ("2000 m.", [(call[0], status), ("length", "ok")])
    assert word in told(script)[0]
    assert told(script)[1] == "2000 m"
    assert "hunter2" not in json.dumps(answer)
    assert not (service.folder / "wiped.txt").exists()


def test_a_side_effect_that_is_allowed_happens_once(service: Live, script: OpenAIServer) -> None:
    note = ("note", '{"text": "once"}')
    script.answers = [calling(note), calling(note), saying("Noted.")]
    answer = ask(service)
    assert uses(answer) == [("note", "ok"), ("note", "repeated")]
    assert (service.folder / "notes.txt").read_text() == "once\n"


def test_an_endless_loop_is_ended(service: Live, script: OpenAIServer) -> None:
    script.answer = calling(SUM)
    answer = ask(service)
    assert (answer["meta"]["ended_by"], answer["meta"]["turns"]) == ("repetition", 4)
    assert len(script.asked) == 4
    assert "tools" not in script.asked[-1]


def test_the_steps_of_the_setting_hold_against_a_request_that_wants_more(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(("calculator", json.dumps({"expression": f"{n} + 1"}))) for n in range(9)]
    answer = ask(service, max_steps=50)
    assert (answer["meta"]["ended_by"], answer["meta"]["turns"]) == ("max_steps", 5)


def test_parallel_calls_run_together_and_come_in_order(service: Live, script: OpenAIServer) -> None:
    calls = [("stuck", "{}"), SUM, ("length", '{"value": 1, "unit": "mi"}'), ("broken", "{}")]
    script.answers = [calling(*calls), saying("Done.")]
    answer = ask(service)
    assert [status for _, status in uses(answer)] == ["timeout", "ok", "ok", "failed"]
    assert told(script)[1:3] == ["1800", "1609.34 m"]


def test_a_deadline_during_the_tools_leaves_time_for_an_answer(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(("stuck", "{}")), saying("Nothing yet.")]
    with service.client() as client:
        headers = {"X-Request-Timeout": "0.6"}
        answer = client.post("/agent_query", json={"question": "Well?"}, headers=headers).json()
    assert answer["answer"] == "Nothing yet."
    assert answer["meta"]["ended_by"] == "time"


def events(live: Live, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    body = {"question": "What do four tickets cost?", **fields}
    with live.client() as client, client.stream("POST", "/agent_query/stream", json=body) as answer:
        assert answer.status_code == 200
        text = "".join(answer.iter_text())
    frames = [frame.split("\n") for frame in text.split("\n\n") if frame.startswith("event:")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def test_the_stream_tells_each_step(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(SEARCH, SUM, words=("Let me", " look.")), saying("Four cost 1800 roubles.")]
    found = events(service)
    names = [name for name, _ in found]
    shown = ""
    for name, data in found:
        shown = data["text"] if name == "correction" else shown + data["text"] if name == "token" else shown
    done = found[-1][1]["response"]
    assert (names[0], names[-1]) == ("meta", "done")
    assert [name for name in names if name.startswith("tool_")] == [
        "tool_call",
        "tool_call",
        "tool_result",
        "tool_result",
    ]
    assert shown == done["answer"] == "Four cost 1800 roubles."
    assert [data["step"] for name, data in found if name == "step"] == done["meta"]["steps"]
    results = [data for name, data in found if name == "tool_result"]
    assert [source["document_id"] for source in results[0]["sources"]] == ["ferry"]
    assert (results[1]["status"], results[1]["content"]) == ("ok", "1800")


def test_the_same_question_plain_and_streamed_has_the_same_answer(service: Live, script: OpenAIServer) -> None:
    plan = [calling(SEARCH), saying("A ticket costs 450 roubles [1].")]
    script.answers = [*plan, *plan]
    plain, streamed = ask(service), events(service)[-1][1]["response"]
    for name in ("tool_calls", "sources", "citations", "grounding", "usage"):
        drop = {"duration_ms"}
        clean = [
            [{key: value for key, value in use.items() if key not in drop} for use in one["meta"]["tool_calls"]]
            if name == "tool_calls"
            else one["meta"][name]
            for one in (plain, streamed)
        ]
        assert clean[0] == clean[1]
    assert plain["answer"] == streamed["answer"]


def said(script: OpenAIServer) -> list[str]:
    return [message["content"] for message in script.asked[-1]["messages"][1:]]


def delete(live: Live, session: str, user: str | None) -> httpx.Response:
    with live.client() as client:
        return client.delete(f"/sessions/{session}", params={"user_id": user} if user else None)


def test_a_session_is_kept_closed_to_another_and_deleted(service: Live, script: OpenAIServer) -> None:
    session = uuid.uuid4().hex
    script.answer = saying("I am the ferryman.")
    mine: dict[str, Any] = {"session_id": session, "user_id": "ada"}
    assert ask(service, "Who are you?", **mine)["meta"]["session_id"] == session
    ask(service, "And now?", **mine)
    assert said(script) == ["Who are you?", "I am the ferryman.", "And now?"]
    ask(service, "What was said?", session_id=session, user_id="bob")
    assert said(script) == ["What was said?"]

    other = delete(service, session, "eve")
    assert (other.status_code, other.json()["code"]) == (404, "session_not_found")
    assert delete(service, session, None).status_code == 404
    assert delete(service, session, "ada").status_code == 204
    assert delete(service, session, "ada").status_code == 404
    ask(service, "Still there?", **mine)
    assert said(script) == ["Still there?"]


def test_a_session_expires(service: Live, script: OpenAIServer) -> None:
    script.answer = saying("Yes.")
    session = uuid.uuid4().hex
    ask(service, "One?", session_id=session)
    ask(service, "Two?", session_id=session)
    assert said(script) == ["One?", "Yes.", "Two?"]
    with sqlite3.connect(service.folder / "data" / "sessions.sqlite3", timeout=10) as db:  # as if so much time had gone
        db.execute("UPDATE session SET used_at = used_at - ? WHERE session_id = ?", (SESSION_S, session))
    db.close()
    ask(service, "Three?", session_id=session)
    assert said(script) == ["Three?"]


def test_a_session_id_that_is_none_is_refused(service: Live) -> None:
    with service.client() as client:
        answer = client.delete("/sessions/a%20b")
        unknown = client.delete("/sessions/a", params={"owner": "ada"})
    assert (answer.status_code, unknown.status_code) == (422, 422)


def test_the_agents_figures_are_in_the_metrics(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(SUM), saying("1800.")]
    ask(service)
    text = service.get("/metrics").text
    assert 'answerbox_step_duration_seconds_count{pipeline="agent",step="tool"}' in text
    assert 'answerbox_tokens_total{direction="output",pipeline="agent"}' in text


@pytest.mark.parametrize("fields", [{"max_steps": 0}, {"max_steps": 51}, {"steps": 1}, {"session_id": "a b"}])
def test_what_the_contract_refuses(service: Live, fields: dict[str, Any]) -> None:
    answer = service.post("/agent_query", {"question": "x", **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_run_model_has_the_agent_too(script: OpenAIServer, tmp_path: Path) -> None:
    script.answers = [calling(SUM), saying("1800."), saying("As I said, 1800.")]
    settings = Settings(llm_base_url=script.url, embedder_model="fake", data_dir=tmp_path, seed_docs=False)
    with LocalAnswerbox(settings) as box:
        first = box.run_model({"question": "450 * 4?", "session_id": "s"}, "agent")
        box.run_model({"question": "Again?", "session_id": "s"}, "agent")
    assert (first["answer"], first["meta"]["turns"]) == ("1800.", 2)
    assert said(script) == ["450 * 4?", "1800.", "Again?"]


def test_a_model_that_calls_no_tools_searches_first_and_says_so(fakes: Live) -> None:
    fakes.index([{"id": "ferry", "text": TEXT}])
    body = {"question": "How much does a ticket cost?", "user_id": "ada", "session_id": "s"}
    answer = fakes.post("/agent_query", body)
    assert answer.status_code == 200, answer.text
    meta = answer.json()["meta"]
    assert (meta["pipeline"], meta["plan"], meta["degraded"]) == ("agent", "search_first", ["tool_calling"])
    assert "ferry" in [source["document_id"] for source in meta["sources"]]
    names = [name for name, _ in events(fakes, question="How much does a ticket cost?")]
    assert (names[-1], "token" in names) == ("done", True)

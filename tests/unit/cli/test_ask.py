"""`answerbox ask` against a scripted service: what goes where, what is taken back, what a failure is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from answerbox.cli import main
from answerbox.cli.answers import Screen
from answerbox.contracts import (
    AgentMeta,
    AgentResponse,
    CorrectionEvent,
    RagMeta,
    RagResponse,
    Source,
    TokenEvent,
    ToolCallEvent,
    ToolResultEvent,
)
from tests.client_kit import Reply, Script, answer, done, frame, stream

ESCAPE = "\x1b]52;c;ZXZpbA==\x07"
"""Writes to the clipboard of many terminals."""
META: dict[str, Any] = {"request_id": "request-1", "model": "double", "finish_reason": "stop", "latency_ms": 1}
SOURCE = Source(document_id="zoo/1", chunk_id="1", title="Zebras", page=3, text="It wears stripes.", score=0.871)


def rag_answer(text: str = "Stripes. [1]", **meta: Any) -> RagResponse:
    return RagResponse(answer=text, meta=RagMeta(**{**META, "pipeline": "rag", "sources": [SOURCE], **meta}))


def agent_answer(text: str) -> AgentResponse:
    meta = AgentMeta(**META, pipeline="agent", plan="tools", turns=2, ended_by="answer")
    return AgentResponse(answer=text, meta=meta)


def last(response: RagResponse | AgentResponse) -> bytes:
    return frame("done", {"response": response.model_dump(mode="json")})


def ask(*arguments: str, typed: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main.app, ["ask", *arguments], input=typed)


def test_words_that_are_taken_back_never_reach_a_pipe(script: Script) -> None:
    correction = frame("correction", {"text": "Stripes. [1]"})
    script.replies = [stream(frame("token", {"text": "Dots."}), correction, last(rag_answer()))]
    found = ask("What does it wear?")
    assert (found.exit_code, found.stdout) == (0, "Stripes. [1]\n")
    assert found.stderr == "[1] Zebras, p. 3 (0.87)\n"


def test_an_agents_steps_are_told_beside_the_answer(script: Script) -> None:
    call = frame("tool_call", {"id": "c", "name": "calculator", "arguments": {"expression": "2*2"}})
    result = frame("tool_result", {"id": "c", "name": "calculator", "status": "ok", "content": "4\nexactly"})
    words = frame("token", {"text": "Let me count."}), frame("correction", {"text": ""})
    script.replies = [stream(*words, call, result, frame("token", {"text": "4."}), last(agent_answer("4.")))]
    found = ask("2*2?", "--pipeline", "agent")
    assert (found.exit_code, found.stdout) == (0, "4.\n")
    assert found.stderr == '→ calculator {"expression": "2*2"}\n← calculator ok: 4 exactly\n'


def test_a_person_sees_what_is_taken_back_and_nothing_drives_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(is_terminal=True)
    screen.show(TokenEvent(text=f"Let me {ESCAPE}count."))
    screen.show(CorrectionEvent(text=""))
    screen.show(ToolCallEvent(id="c", name=f"clock{ESCAPE}", arguments=None))
    screen.show(ToolResultEvent(id="c", name="clock", status="failed", content=ESCAPE))
    screen.show(TokenEvent(text="Семь :bell: [b]\n"))
    screen.end(rag_answer("Семь :bell: [b]\n", finish_reason="deadline", degraded=["vectors"]))
    shown = capsys.readouterr()
    assert shown.out == "Let me ]52;c;ZXZpbA==count.\nСемь :bell: [b]\n\n"
    assert shown.err.splitlines() == [
        "(what stands above is taken back)",
        "→ clock]52;c;ZXZpbA== null",
        "← clock failed: ]52;c;ZXZpbA==",
        "[1] Zebras, p. 3 (0.87)",
        "The answer was cut: its time was up.",
        "degraded: vectors",
    ]


def test_without_a_stream_the_answer_comes_whole(script: Script) -> None:
    script.replies = [Reply(body=rag_answer().model_dump(mode="json"))]
    found = ask("What does it wear?", "--no-stream")
    assert (found.exit_code, found.stdout, found.stderr) == (0, "Stripes. [1]\n", "[1] Zebras, p. 3 (0.87)\n")
    assert script.asked[0].path == "/rag_query"


def test_json_is_the_whole_response_and_nothing_else(script: Script) -> None:
    script.replies = [Reply(body=rag_answer().model_dump(mode="json"))]
    found = ask("What does it wear?", "--json")
    assert (found.exit_code, found.stderr) == (0, "")
    assert RagResponse.model_validate_json(found.stdout) == rag_answer()


def test_the_question_may_come_from_stdin_and_the_context_from_a_file(script: Script, tmp_path: Path) -> None:
    (tmp_path / "context.txt").write_text("Зебры полосаты.", encoding="utf-8")
    script.replies = [stream(done())]
    arguments = ("-", "-p", "llm", "--context-file", str(tmp_path / "context.txt"), "--user-id", "ada")
    found = ask(*arguments, typed="Какие?\nА почему?\n")
    assert (found.exit_code, found.stdout) == (0, "Paris.\n")
    assert script.asked[0].json == {"question": "Какие?\nА почему?", "context": "Зебры полосаты.", "user_id": "ada"}


@pytest.mark.parametrize(
    ("arguments", "typed", "word"),
    [
        (["Why?", "--context", "a", "--context-file", "b"], None, "not both"),
        (["Why?", "--context-file", "no/where"], None, "cannot be opened"),
        (["Why?", "--context-file", "."], None, "cannot be opened"),
        (["Why?", "--pipeline", "oracle"], None, "oracle"),
        (["-"], b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_wrong_call_is_told_and_has_the_code_two(
    arguments: list[str], typed: bytes | None, word: str, script: Script
) -> None:
    found = ask(*arguments, typed=typed)
    assert (found.exit_code, word in found.stderr, script.asked) == (2, True, [])


@pytest.mark.parametrize(
    ("reply", "code", "line"),
    [
        (Reply(403, {"code": "forbidden", "detail": f"No.{ESCAPE}\nNo!"}), 1, r"No.\x1b]52;c;ZXZpbA==\x07\nNo!"),
        (Reply(502, {"code": "bad_upstream", "detail": "Nonsense.", "hint": "Wait."}), 75, "Nonsense. Wait."),
        (stream(frame("token", {"text": "Par"}), end="cut"), 75, "The answer broke off. Ask again."),
    ],
)
def test_a_failure_is_one_line_and_its_code_says_whether_to_try_again(
    reply: Reply, code: int, line: str, script: Script, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    script.replies = [reply]
    monkeypatch.setattr("sys.argv", ["answerbox", "ask", "Why?"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert (ended.value.code, capsys.readouterr().err) == (code, f"answerbox: {line}\n")


def test_the_key_is_sent(script: Script) -> None:
    script.replies = [Reply(body=answer().model_dump())]
    found = ask("Why?", "-p", "llm", "--key", "ab_1", "--json")
    assert json.loads(found.stdout)["answer"] == "Paris."
    assert script.asked[0].headers["authorization"] == "Bearer ab_1"

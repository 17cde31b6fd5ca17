"""`answerbox chat` against a scripted service: what it remembers, its commands, what a failure does."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from answerbox.cli.main import app
from answerbox.contracts import PipelineName
from answerbox.errors import PromptTooLong
from tests.client_kit import Reply, Script, done, stream
from tests.unit.cli.test_ask import agent_answer, last, rag_answer


def chat(pipeline: PipelineName, *lines: str) -> Result:
    return CliRunner().invoke(app, ["chat", "-p", pipeline, "--user-id", "ada"], input="".join(f"{x}\n" for x in lines))


def test_the_model_alone_is_told_what_was_said_until_a_new_conversation(script: Script) -> None:
    script.replies = [stream(done("Да.")), stream(done("б")), stream(done("Yes."))]
    found = chat("llm", "Ты здесь?", "", "б", "/n", "y")
    assert (found.exit_code, found.stdout) == (0, "Да.\nб\nYes.\n")
    first, second, third = (asked.json for asked in script.asked)
    assert (first["question"], first.get("context"), first["user_id"]) == ("Ты здесь?", None, "ada")
    assert (second["question"], second["context"]) == ("б", "User: Ты здесь?\nAssistant: Да.")
    assert (third["question"], third.get("context")) == ("y", None)
    assert first["session_id"] == second["session_id"] != third["session_id"]


def test_a_question_to_the_documents_stands_alone(script: Script) -> None:
    script.replies = [stream(last(rag_answer()))] * 2
    found = chat("rag", "What does it wear?", "And why?", "/sources")
    assert [("context" in asked.json, asked.path) for asked in script.asked] == [(False, "/rag_query/stream")] * 2
    assert found.stdout == "Stripes. [1]\n" * 2
    assert found.stderr.splitlines()[-2:] == ["[1] Zebras, p. 3 (0.87)", "It wears stripes."]


def test_what_the_service_keeps_of_an_agent_is_deleted_in_the_end(script: Script) -> None:
    script.replies = [stream(last(agent_answer("4.")))] * 2 + [Reply(204)]
    assert chat("agent", "2*2?", "Sure?", "/quit", "no more").exit_code == 0
    first, second, third = script.asked
    session = first.json["session_id"]
    assert second.json["session_id"] == session
    assert (third.method, third.path) == ("DELETE", f"/sessions/{session}?user_id=ada")


def test_another_pipeline_begins_a_new_conversation(script: Script) -> None:
    script.replies = [stream(done("One.")), stream(last(rag_answer()))]
    found = chat("llm", "Who?", "/pipeline rag", "Who?", "/pipeline", "/pipeline oracle")
    one, two = script.asked
    assert (one.path, two.path) == ("/llm_query/stream", "/rag_query/stream")
    assert one.json["session_id"] != two.json["session_id"]
    assert [line for line in found.stderr.splitlines() if "rag" in line] == [
        "rag answers.",
        "rag answers.",
        "There is no pipeline 'oracle'; there are llm, rag, agent, custom.",
    ]


def test_commands_are_told_and_wrong_ones_too(script: Script) -> None:
    found = chat("llm", "/help", "/what", "/", "/sources")
    for line in ("/pipeline [NAME]", "no command '/what'", "no command '/'", "has no sources"):
        assert line in found.stderr
    assert (found.exit_code, found.stdout, script.asked) == (0, "", [])


def test_a_talk_that_is_too_long_loses_its_oldest_part(script: Script) -> None:
    too_long = Reply(422, {"code": PromptTooLong.code, "detail": "Too long."})
    script.replies = [stream(done("1")), stream(done("2")), too_long, stream(done("3"))]
    found = chat("llm", "One?", "Two?", "Three?")
    assert (found.exit_code, found.stdout) == (0, "1\n2\n3\n")
    assert script.asked[2].json["context"] == "User: One?\nAssistant: 1\nUser: Two?\nAssistant: 2"
    assert script.asked[3].json["context"] == "User: Two?\nAssistant: 2"


def test_a_script_ends_at_the_first_failure(script: Script) -> None:
    script.replies = [stream(done("1")), Reply(403, {"code": "forbidden", "detail": "No."}), stream(done("3"))]
    found = chat("llm", "One?", "Two?", "Three?")
    assert (found.exit_code, found.stdout) == (1, "1\n")
    assert len(script.asked) == 2

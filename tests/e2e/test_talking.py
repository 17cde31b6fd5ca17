"""`answerbox ask` and `answerbox chat` against a live service, in pipes and in a terminal."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pexpect
import pytest

from answerbox.client import Client
from answerbox.contracts import DocumentIn, RagResponse
from tests.live import BIN, Live, free_port
from tests.terminal import terminal

COMMAND = BIN / "answerbox"
SOON_S = 60.0
"""A command loads for seconds where other work runs too."""
Done = subprocess.CompletedProcess[str]


def answerbox(*arguments: str, typed: str | None = None, **env: str) -> Done:
    return subprocess.run(
        [COMMAND, *arguments],
        env={**os.environ, **env},
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def okapi(fakes: Live) -> Live:
    """The service with a document of two languages."""
    text = "The okapi of the forest eats leaves. Окапи ест листья."
    with Client(fakes.url) as client:
        job = client.add_documents([DocumentIn(id="talking/okapi", title="Okapi", text=text)])
        assert client.wait(job, within_s=SOON_S).status == "succeeded"
    return fakes


def test_the_answer_is_on_stdout_and_its_sources_are_on_stderr(okapi: Live) -> None:
    done = answerbox("ask", "What eats the okapi of the forest?", ANSWERBOX_URL=okapi.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "[1] Okapi (" in done.stderr
    assert "Okapi (" not in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_a_russian_question_is_answered(okapi: Live) -> None:
    done = answerbox("ask", "Что ест окапи?", "--json", ANSWERBOX_URL=okapi.url)
    answer = RagResponse.model_validate_json(done.stdout)
    assert "листья" in answer.answer
    assert (done.returncode, done.stderr) == (0, "")


def test_the_model_alone_answers_without_sources(fakes: Live) -> None:
    done = answerbox("ask", "-", "--pipeline", "llm", "--url", fakes.url, typed="one two three\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one two three\n", "")


def test_an_answer_appears_as_it_is_made(fakes: Live) -> None:
    question = " ".join(f"w{number}" for number in range(200))  # 4 s at 20 ms a token
    process = subprocess.Popen(
        [COMMAND, "ask", question, "-p", "llm", "--url", fakes.url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        assert process.stdout.read(3) == "w0 "
        assert process.poll() is None
        assert process.stdout.read().split()[-1] == "w199"
        assert process.wait(SOON_S) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("words", [("ask", "Why?"), ("ask", "Why?", "-p", "llm", "--no-stream"), ("chat",)])
def test_without_a_service_there_is_one_clear_line_and_the_code_to_try_again(words: tuple[str, ...]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = answerbox(*words, "--url", url, typed="Why?\n")
    assert (done.returncode, done.stdout) == (75, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("answerbox: ")
    assert url in line
    assert "make serve" in line


def test_a_refused_question_is_one_clear_line(fakes: Live) -> None:
    done = answerbox("ask", " ", "--url", fakes.url)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)


def test_a_chat_in_a_pipe_remembers_and_answers_letters(fakes: Live) -> None:
    done = answerbox("chat", "-p", "llm", "--url", fakes.url, typed="раз два\ny\n/quit\n")
    assert done.returncode == 0, done.stderr
    first, *second = done.stdout.splitlines()
    assert first == "раз два"
    assert " ".join(second).split()[-1] == "y"
    assert "Assistant: раз два" in " ".join(second)


def test_an_agents_conversation_is_kept_until_the_chat_ends(okapi: Live, tmp_path: Path) -> None:
    with terminal(tmp_path, okapi.url, "--user-id", "talker") as chat:
        chat.expect_exact("agent> ")
        chat.sendline("What eats the okapi of the forest?")
        chat.expect(r"\[1\] Okapi \(")
        chat.expect_exact("agent> ")
        assert sessions(okapi, "talker") == 1
        chat.sendline("/sources")
        chat.expect_exact("The okapi of the forest eats leaves.")
        chat.expect_exact("agent> ")
        chat.sendline("/quit")
        chat.expect(pexpect.EOF)
    assert sessions(okapi, "talker") == 0


def sessions(live: Live, user_id: str) -> int:
    with closing(sqlite3.connect(live.folder / "data" / "sessions.sqlite3", timeout=10)) as db:
        [[count]] = db.execute("SELECT count(*) FROM session WHERE user_id = ?", (user_id,))
    return int(count)


def test_a_chat_in_a_terminal_goes_on_after_a_failure(tmp_path: Path) -> None:
    with terminal(tmp_path, f"http://127.0.0.1:{free_port()}") as chat:
        for _ in range(2):
            chat.expect_exact("agent> ")
            chat.sendline("Why?")
            chat.expect_exact("answerbox: There is no answer from")
        chat.expect_exact("agent> ")
        chat.sendeof()
        chat.expect(pexpect.EOF)

"""`answerbox ask` and `answerbox chat` against a live service, in pipes and in a terminal."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pexpect
import pytest

from answerbox.client import Client
from answerbox.contracts import DocumentIn, RagResponse
from tests.live import BIN, Live, free_port, wait_until

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


def running(live: Live) -> int:
    with Client(live.url) as client:
        return int(client.health().dependencies["generator"].detail["running"])


def long_question(words: int) -> str:
    return " ".join(f"w{number}" for number in range(words))


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


def test_an_answer_appears_as_it_is_made_and_ctrl_c_cancels_it(fakes: Live) -> None:
    process = subprocess.Popen(
        [COMMAND, "ask", long_question(200), "-p", "llm", "--url", fakes.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    try:
        assert process.stdout.read(3) == "w0 "
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(SOON_S) == 130
        assert (rest.endswith("w199\n"), process.stderr.read()) == (False, "")
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: running(fakes) == 0, 10, "the answer has ended")


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


@contextmanager
def terminal(url: str, folder: Path, *arguments: str) -> Iterator[pexpect.spawn]:
    env = {**os.environ, "XDG_STATE_HOME": str(folder), "TERM": "dumb", "COLUMNS": "200", "LC_ALL": "C.UTF-8"}
    words = ["chat", "--url", url, *arguments]
    child = pexpect.spawn(str(COMMAND), words, env=env, encoding="utf-8", timeout=SOON_S, dimensions=(50, 200))
    try:
        yield child
    finally:
        child.close(force=True)


def test_a_chat_in_a_terminal(fakes: Live, tmp_path: Path) -> None:
    with terminal(fakes.url, tmp_path, "-p", "llm") as chat:
        chat.expect_exact("llm> ")
        chat.sendline("Ёлка, Ёлка")
        chat.expect_exact("Ёлка, Ёлка\r\n")  # the echo of what was typed
        chat.expect_exact("Ёлка, Ёлка\r\n")
        chat.expect_exact("llm> ")
        chat.sendline(f"/n\n{long_question(200)}")
        chat.expect_exact("A new conversation.")
        chat.expect(r"w199\r\n(.*)w3 ")  # the echo, then the answer begins
        chat.sendintr()
        chat.expect_exact("(stopped)")
        wait_until(lambda: running(fakes) == 0, 10, "the answer has ended")
        chat.expect_exact("llm> ")
        chat.sendline("д")
        chat.expect_exact("\r\nд\r\n")
        chat.expect_exact("llm> ")
        chat.send("half a line")
        chat.sendintr()
        chat.expect_exact("llm> ")
        chat.sendeof()
        chat.expect(pexpect.EOF)
        chat.close()
        assert chat.exitstatus == 0
    kept = tmp_path / "answerbox" / "chat_history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text(encoding="utf-8").splitlines()[-1] == "д"
    with terminal(fakes.url, tmp_path, "-p", "llm") as again:
        again.expect_exact("llm> ")
        again.send("\x1b[A")  # the arrow up
        again.expect_exact("д")
        again.sendline("")
        again.expect_exact("\r\nд\r\n")
        again.expect_exact("llm> ")
        again.sendline("/q")
        again.expect(pexpect.EOF)


def test_an_agents_conversation_is_kept_until_the_chat_ends(okapi: Live, tmp_path: Path) -> None:
    with terminal(okapi.url, tmp_path, "--user-id", "talker") as chat:
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
    with terminal(f"http://127.0.0.1:{free_port()}", tmp_path) as chat:
        for _ in range(2):
            chat.expect_exact("agent> ")
            chat.sendline("Why?")
            chat.expect_exact("answerbox: There is no answer from")
        chat.expect_exact("agent> ")
        chat.sendeof()
        chat.expect(pexpect.EOF)

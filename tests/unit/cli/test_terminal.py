"""Ctrl-C, Ctrl-D, keys and history: `ask` and `chat` as processes of their own, against a scripted service."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import pexpect

from tests.client_kit import Script, done, frame, stream, wait_until_gone
from tests.live import BIN
from tests.terminal import LIMIT_S, terminal

HELD = stream(frame("token", {"text": "Раз "}), end="held")


def test_ctrl_c_hangs_up_and_has_its_code(script: Script) -> None:
    script.replies = [HELD]
    process = subprocess.Popen(
        [BIN / "answerbox", "ask", "Считай!", "-p", "llm"],
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    try:
        assert process.stdout.read(len("Раз ".encode())) == "Раз ".encode()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out, err) == (130, b"", b"")
    wait_until_gone(script)


def test_ctrl_c_stops_the_answer_and_not_the_chat(script: Script, tmp_path: Path) -> None:
    script.replies = [HELD, stream(done("д"))]
    with terminal(tmp_path, script.url, "-p", "llm") as chat:
        chat.expect_exact("llm> ")
        chat.sendline("Считай!")
        chat.expect_exact("Считай!\r\n")
        chat.expect_exact("Раз ")
        chat.sendintr()
        chat.expect_exact("(stopped)")
        wait_until_gone(script)
        chat.expect_exact("llm> ")
        chat.send("half a line")
        chat.expect_exact("half a line")
        chat.sendintr()
        chat.expect_exact("llm> ")
        chat.sendline("а")
        chat.expect_exact("\r\nд\r\n")
        chat.expect_exact("llm> ")
        chat.sendeof()
        chat.expect(pexpect.EOF)
        chat.close()
        assert chat.exitstatus == 0
    assert [asked.json["question"] for asked in script.asked] == ["Считай!", "а"]
    assert "context" not in script.asked[1].json


def test_what_was_typed_is_there_the_next_time_for_this_user_only(script: Script, tmp_path: Path) -> None:
    script.replies = [stream(done("1")), stream(done("2"))]
    state = tmp_path / "not" / "there"
    with terminal(state, script.url, "-p", "llm") as first:
        first.expect_exact("llm> ")
        first.sendline("Ёлка, ёлка")
        first.expect_exact("\r\n1\r\n")
        first.expect_exact("llm> ")
        first.sendline("/q")
        first.expect(pexpect.EOF)
    kept = state / "answerbox" / "chat_history"
    assert (stat.S_IMODE(kept.stat().st_mode), stat.S_IMODE(kept.parent.stat().st_mode)) == (0o600, 0o700)
    with terminal(state, script.url, "-p", "llm") as second:
        second.expect_exact("llm> ")
        second.send("\x1b[A\x1b[A")  # two arrows up, over the `/q`
        second.expect_exact("Ёлка, ёлка")
        second.sendline("!")
        second.expect_exact("\r\n2\r\n")
        second.expect_exact("llm> ")
        second.sendeof()
        second.expect(pexpect.EOF)
    assert [asked.json["question"] for asked in script.asked] == ["Ёлка, ёлка", "Ёлка, ёлка!"]

"""The log of a whole process: all that it says, however it is said, is a line of the same form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

SAY = """
import asyncio, gc, logging, sys, threading, warnings
import structlog
from answerbox import logs
from answerbox.settings import Settings

early = logging.getLogger("library.early")
early.addHandler(logging.StreamHandler())
early.propagate = False
logs.install(Settings(), "Answerbox")
late = logging.getLogger("library.late")
late.addHandler(logging.StreamHandler())
late.propagate = False

early.warning("early\\nline")
late.warning("late\\nline")
logging.getLogger("answerbox.x").info("ours\\n%s", "\\x1b[31m", extra={"field": "a\\nb"})
structlog.get_logger("structured").warning("structured\\nline", field="a\\nb")
logging.getLogger("httpx").info("below the level of libraries")
logging.getLogger("openai").setLevel(logging.DEBUG)
logging.getLogger("openai").debug("keys and questions")
logging.getLogger("bentoml.access").info("theirs")
logging.getLogger("uvicorn.access").info("theirs")
warnings.warn("a warning\\nof two lines")
print("printed", "\\x1b[2J", "without an end", end="")
print(": now", file=sys.stdout)
print("printed\\ntwice", file=sys.stderr)
logging.getLogger("answerbox.x").info("%d", "no number")

def fail():
    raise ValueError("in a thread\\nof mine")

thread = threading.Thread(target=fail)
thread.start()
thread.join()

async def forgotten():
    asyncio.ensure_future(asyncio.sleep(0)).add_done_callback(lambda _: fail())
    await asyncio.sleep(0.01)

asyncio.run(forgotten())

class Unraisable:
    def __del__(self):
        raise ValueError("in a destructor")

Unraisable()
gc.collect()
raise RuntimeError("uncaught\\nhere")
"""

SERVED = """
import logging, sys
from bentoml._internal.log import configure_server_logging
from answerbox import logs
from answerbox.settings import Settings
if {configured}:
    configure_server_logging()
logs.install_in_server(Settings())
logging.getLogger("bentoml.serve").info("served")
print("printed")
"""


def run(code: str, *arguments: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def said() -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(SAY)]


def one(said: list[dict[str, Any]], **expected: str) -> dict[str, Any]:
    [found] = [each for each in said if expected.items() <= each.items()]
    return found


@pytest.mark.parametrize(
    ("logger", "level", "event"),
    [
        ("library.early", "warning", "early\nline"),
        ("stderr", "warning", "late"),
        ("answerbox.x", "info", "ours\n\x1b[31m"),
        ("structured", "warning", "structured\nline"),
        ("stdout", "info", "printed \x1b[2J without an end: now"),
        ("stderr", "warning", "twice"),
    ],
)
def test_each_way_to_say_something_is_a_line(said: list[dict[str, Any]], logger: str, level: str, event: str) -> None:
    assert one(said, logger=logger, event=event)["level"] == level


def test_warnings_and_wrong_arguments_are_lines(said: list[dict[str, Any]]) -> None:
    assert "a warning\nof two lines" in one(said, logger="py.warnings")["event"]
    assert [each for each in said if each["event"].startswith("%d (this line")]


def test_failures_that_nobody_catches_are_lines(said: list[dict[str, Any]]) -> None:
    fatal = [each["exception"].rpartition("\n")[2] for each in said if each["level"] == "critical"]
    assert fatal == [
        r"builtins.ValueError: in a thread\nof mine",
        "builtins.ValueError: in a destructor",
        r"builtins.RuntimeError: uncaught\nhere",
    ]
    assert "in a thread" in one(said, logger="asyncio")["exception"]


def test_what_is_too_much_is_not_said(said: list[dict[str, Any]]) -> None:
    events = {each["event"] for each in said}
    assert not events & {"below the level of libraries", "keys and questions", "theirs"}


def test_in_a_process_of_bentoml_serve_the_log_is_ours_elsewhere_it_stays() -> None:
    served = [json.loads(line) for line in run(SERVED.format(configured=True), "--service-name", "Index")]
    assert [(each["service"], each["event"]) for each in served] == [("Index", "served"), ("Index", "printed")]
    assert run(SERVED.format(configured=False)) == ["printed"]


def test_the_form_and_the_level_are_settings() -> None:
    [text] = run(SERVED.format(configured=True), ANSWERBOX_LOG_FORMAT="text", ANSWERBOX_LOG_LEVEL="info")[:1]
    assert text.endswith("info    Supervisor bentoml.serve: served")
    assert not run(SERVED.format(configured=True), ANSWERBOX_LOG_LEVEL="error")

"""Feedback on disk: bounded, replaced by later words, and there after whatever end."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from answerbox.adapters.sqlite_feedback import SCHEMA_VERSION, SqliteFeedback
from answerbox.errors import IndexUnavailable, SetupError
from answerbox.feedback import Feedback
from tests.feedback_kit import feedback

KILLED = """
import os, signal, sys
from pathlib import Path
from answerbox.adapters.sqlite_feedback import SqliteFeedback
from answerbox.feedback import Feedback
store = SqliteFeedback(Path(sys.argv[1]))
store.put(Feedback("a" * 32, 0.5, "kept"))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "feedback.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteFeedback]:
    store = SqliteFeedback(path)
    yield store
    store.close()


def waiting(store: SqliteFeedback) -> list[Feedback]:
    return [found for _, found in store.waiting(100)]


def settle_all(store: SqliteFeedback, refused: bool = False) -> None:
    store.settle([number for number, _ in store.waiting(100)], refused=refused)


def test_the_oldest_comes_first_and_what_is_settled_no_more(store: SqliteFeedback) -> None:
    given = [feedback(number, comment="Ё", user_id="ada") for number in range(4)]
    assert [store.put(each) for each in given] == [0] * 4
    assert waiting(store) == given
    [(first, _), (second, _)] = store.waiting(2)
    store.settle([first])
    store.settle([second], refused=True)
    assert waiting(store) == given[2:]


def test_a_later_word_takes_the_place_and_the_time_of_the_former(store: SqliteFeedback) -> None:
    store.put(feedback(0, 1.0, comment="good", given_at=1_000.25))
    store.put(feedback(0, -1.0, given_at=2_000.0))
    assert waiting(store) == [feedback(0, -1.0, given_at=1_000.25)]
    settle_all(store)
    store.put(feedback(0, 0.0, given_at=3_000.0))
    assert waiting(store) == [feedback(0, 0.0, given_at=1_000.25)]


def test_a_word_that_was_replaced_while_it_was_sent_does_not_settle_the_later_one(store: SqliteFeedback) -> None:
    store.put(feedback(0, 1.0))
    [(number, _)] = store.waiting(1)
    store.put(feedback(0, -1.0))
    store.settle([number])
    assert [each.score for each in waiting(store)] == [-1.0]


def test_what_says_nothing_new_is_sent_once(store: SqliteFeedback) -> None:
    for _ in range(3):
        store.put(feedback(0, comment="good"))
    settle_all(store)
    store.put(feedback(0, comment="good"))
    assert waiting(store) == []
    store.put(feedback(0))
    assert len(waiting(store)) == 1


def test_what_was_refused_is_tried_again_when_it_is_given_again(store: SqliteFeedback) -> None:
    store.put(feedback(0))
    settle_all(store, refused=True)
    assert waiting(store) == []
    store.put(feedback(0))
    assert len(waiting(store)) == 1


def test_users_and_traces_do_not_replace_one_another(store: SqliteFeedback) -> None:
    for user_id in (None, "ada", "bob"):
        for number in range(2):
            store.put(feedback(number, user_id=user_id))
    assert len(waiting(store)) == 6


def test_so_much_waits_and_the_oldest_goes(path: Path) -> None:
    store = SqliteFeedback(path, max_waiting=3)
    assert [store.put(feedback(number)) for number in range(5)] == [0, 0, 0, 1, 1]
    assert store.put(feedback(3, -1.0)) == 0
    assert [each.trace_id for each in waiting(store)] == [feedback(number).trace_id for number in (2, 4, 3)]
    store.close()


@pytest.mark.parametrize("refused", [False, True], ids=["sent", "refused"])
def test_so_much_of_what_was_settled_is_remembered(path: Path, refused: bool) -> None:
    store = SqliteFeedback(path, max_settled=2)
    for number in range(5):
        store.put(feedback(number))
        settle_all(store, refused=refused)
    with sqlite3.connect(path) as db:
        left = [trace_id for (trace_id,) in db.execute("SELECT trace_id FROM feedback ORDER BY number")]
    db.close()
    assert left == [feedback(number).trace_id for number in (3, 4)]
    store.close()


def test_everything_is_there_after_a_reopening(path: Path) -> None:
    store = SqliteFeedback(path)
    given = [feedback(number) for number in range(3)]
    for each in given:
        store.put(each)
    store.settle([store.waiting(1)[0][0]])
    store.close()
    again = SqliteFeedback(path)
    assert waiting(again) == given[1:]
    again.close()


def test_what_was_taken_is_there_after_a_kill(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    store = SqliteFeedback(path)
    assert [(each.score, each.comment) for each in waiting(store)] == [(0.5, "kept")]
    store.close()


def test_threads_may_share_it(store: SqliteFeedback) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(store.put, map(feedback, range(200)))) == 0
    assert len(store.waiting(1_000)) == 200


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    SqliteFeedback(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(SetupError, match="newer"):
        SqliteFeedback(path)


def test_a_file_that_cannot_be_used_is_told_by_its_name(path: Path, store: SqliteFeedback) -> None:
    store.close()
    with pytest.raises(IndexUnavailable, match="store of feedback is closed"):
        store.put(feedback(0))
    path.write_bytes(b"no database " * 100)
    with pytest.raises(IndexUnavailable, match="store of feedback cannot be used"):
        SqliteFeedback(path)

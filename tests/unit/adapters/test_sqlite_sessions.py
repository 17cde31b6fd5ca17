"""Conversations in SQLite: each is its user's, and none is for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from answerbox.adapters.sqlite_sessions import SqliteSessions
from answerbox.errors import IndexUnavailable, SessionNotFound, SetupError
from answerbox.sessions import MAX_TURN_CHARS, MAX_TURNS, SessionKey, Turn
from tests.doubles import Clock

ADA, BOB, NOBODY = SessionKey("s", "ada"), SessionKey("s", "bob"), SessionKey("s")
HELLO = Turn("Hello?", "Привет.")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Iterator[SqliteSessions]:
    made = SqliteSessions(tmp_path / "sessions.sqlite3", 60.0, clock)
    yield made
    made.close()


async def test_turns_come_back_in_order_and_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "sessions.sqlite3"
    first = SqliteSessions(path, 60.0, clock)
    await first.add(ADA, HELLO)
    await first.add(ADA, Turn("And?", "Nothing."))
    first.close()
    second = SqliteSessions(path, 60.0, clock)
    assert await second.turns(ADA) == [HELLO, Turn("And?", "Nothing.")]
    second.close()


async def test_a_session_is_closed_to_others(sessions: SqliteSessions) -> None:
    await sessions.add(ADA, HELLO)
    for other in (BOB, NOBODY, SessionKey("t", "ada")):
        assert await sessions.turns(other) == []
        with pytest.raises(SessionNotFound):
            await sessions.delete(other)
    assert await sessions.turns(ADA) == [HELLO]


async def test_a_deleted_session_is_gone(sessions: SqliteSessions) -> None:
    await sessions.add(ADA, HELLO)
    await sessions.add(BOB, HELLO)
    await sessions.delete(ADA)
    assert await sessions.turns(ADA) == []
    assert await sessions.turns(BOB) == [HELLO]
    with pytest.raises(SessionNotFound):
        await sessions.delete(ADA)


async def test_a_session_expires_after_its_last_question(sessions: SqliteSessions, clock: Clock) -> None:
    await sessions.add(ADA, HELLO)
    clock.now += 59
    await sessions.add(ADA, HELLO)
    clock.now += 59
    assert len(await sessions.turns(ADA)) == 2
    clock.now += 1
    assert await sessions.turns(ADA) == []
    with pytest.raises(SessionNotFound):
        await sessions.delete(ADA)
    await sessions.add(ADA, HELLO)
    assert await sessions.turns(ADA) == [HELLO]


async def test_what_has_expired_is_no_longer_in_the_file(
    sessions: SqliteSessions, clock: Clock, tmp_path: Path
) -> None:
    await sessions.add(ADA, HELLO)
    clock.now += 61
    await sessions.add(BOB, HELLO)
    with sqlite3.connect(tmp_path / "sessions.sqlite3") as db:
        assert db.execute("SELECT count(*) FROM turn").fetchone() == (1,)
    db.close()


async def test_only_the_newest_turns_are_kept_and_long_ones_are_cut(sessions: SqliteSessions) -> None:
    for n in range(MAX_TURNS + 3):
        await sessions.add(ADA, Turn(f"q{n}", "a" * (MAX_TURN_CHARS + 5)))
    turns = await sessions.turns(ADA)
    assert [turn.question for turn in turns] == [f"q{n}" for n in range(3, MAX_TURNS + 3)]
    assert {len(turn.answer) for turn in turns} == {MAX_TURN_CHARS}


async def test_questions_of_a_session_at_the_same_time_lose_nothing(sessions: SqliteSessions) -> None:
    await asyncio.gather(*(sessions.add(ADA, Turn(f"q{n}", "a")) for n in range(MAX_TURNS)))
    assert {turn.question for turn in await sessions.turns(ADA)} == {f"q{n}" for n in range(MAX_TURNS)}


def test_the_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "sessions.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(SetupError, match="newer"):
        SqliteSessions(path, 60.0)


async def test_a_store_that_is_closed_is_unavailable(tmp_path: Path) -> None:
    made = SqliteSessions(tmp_path / "s.sqlite3", 60.0)
    made.close()
    with pytest.raises(IndexUnavailable):
        await made.turns(ADA)

"""Feedback from being given to being sent, whatever becomes of the side that takes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from answerbox import app
from answerbox.adapters.data_folder import DataFolder
from answerbox.adapters.langfuse_scores import LangfuseScores
from answerbox.adapters.sqlite_feedback import SqliteFeedback
from answerbox.errors import IndexUnavailable, Unavailable
from answerbox.feedback import LONGEST_PAUSE_S, LONGEST_TOLD_S, Feedback, FeedbackDesk, FeedbackSink
from answerbox.settings import Settings
from tests.doubles import turn, until
from tests.feedback_kit import feedback
from tests.otlp_receiver import Receiver, otlp_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as made:
        yield made


@dataclass
class Pauses:
    """Remembers how long a pause should have been; takes no time."""

    asked: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await turn(asyncio.Event())


@dataclass
class MoodySink:
    """Fails as it is told: always, or for one trace; waits for the gate."""

    failure: Exception | None = None
    poison: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    sent: list[Feedback] = field(default_factory=list)
    closed: bool = False

    def __post_init__(self) -> None:
        self.gate.set()

    async def send(self, feedback: Feedback) -> None:
        self.asked += 1
        await self.gate.wait()
        if self.failure and (not self.poison or feedback.trace_id == self.poison):
            raise self.failure
        self.sent.append(feedback)

    async def close(self) -> None:
        self.closed = True


def langfuse(receiver: Receiver, timeout_s: float = 3.0) -> LangfuseScores:
    return LangfuseScores(receiver.url, ("pk", "sk"), "test", lambda comment: comment, timeout_s)


@asynccontextmanager
async def desk(
    folder: Path, sink: FeedbackSink | None, pauses: Pauses | None = None, max_waiting: int = 100
) -> AsyncIterator[FeedbackDesk]:
    opened = FeedbackDesk(SqliteFeedback(folder / "feedback.sqlite3", max_waiting), sink, pauses or Pauses())
    opened.start()
    try:
        yield opened
    finally:
        await opened.stop()


def left(folder: Path) -> list[Feedback]:
    """What would be sent after the next start."""
    store = SqliteFeedback(folder / "feedback.sqlite3")
    found = [each for _, each in store.waiting(1_000)]
    store.close()
    return found


def test_the_id_is_one_for_all_that_a_user_says_of_a_trace() -> None:
    said = feedback(1, 1.0, user_id="ada")
    assert feedback(1, -1.0, comment="no", user_id="ada").score_id == said.score_id
    others = [feedback(2, user_id="ada"), feedback(1, user_id="bob"), feedback(1)]
    assert len({each.score_id for each in (said, *others)}) == 4


async def test_everything_is_sent_once(tmp_path: Path, receiver: Receiver) -> None:
    given = [feedback(number) for number in range(30)]
    async with desk(tmp_path, langfuse(receiver)) as open_:
        for each in given:
            await open_.add(each)
        await until(lambda: left(tmp_path) == [])
    assert sorted(score["id"] for score in receiver.scores) == sorted(each.score_id for each in given)


@pytest.mark.parametrize(
    ("content", "comment"), [(True, "Write to [e-mail].\ufffd"), (False, None)], ids=["content", "no-content"]
)
async def test_a_comment_is_masked_as_a_trace_is(
    tmp_path: Path, receiver: Receiver, content: bool, comment: str | None
) -> None:
    keys = {"langfuse_public_key": "pk", "langfuse_secret_key": "sk", "langfuse_base_url": receiver.url}
    settings = Settings.model_validate({**keys, "trace_content": content, "env": "production"})
    folder = DataFolder(tmp_path)
    open_ = app.feedback_desk(settings, folder)
    open_.start()
    await open_.add(feedback(0, comment="Write to ada@example.org.\0"))
    await until(lambda: receiver.taken_scores)
    await open_.stop()
    folder.release()
    [score] = receiver.taken_scores
    assert (score.get("comment"), score["environment"]) == (comment, "production")


async def test_without_keys_nothing_is_sent(tmp_path: Path, receiver: Receiver) -> None:
    folder = DataFolder(tmp_path)
    open_ = app.feedback_desk(Settings(langfuse_base_url=receiver.url), folder)
    open_.start()
    await open_.add(feedback(0))
    await open_.stop()
    folder.release()
    assert len(left(tmp_path)) == 1
    assert receiver.requests == []


async def test_a_later_word_is_sent_with_the_same_id_and_time(tmp_path: Path, receiver: Receiver) -> None:
    async with desk(tmp_path, langfuse(receiver)) as open_:
        for count, score in enumerate((1.0, -1.0), 1):
            await open_.add(feedback(0, score))
            await until(lambda count=count: len(receiver.taken_scores) == count)  # type: ignore[misc]
    first, second = receiver.taken_scores
    assert (first["value"], second["value"]) == (1, -1)
    assert (first["id"], first["timestamp"]) == (second["id"], second["timestamp"])


async def test_without_a_sink_it_is_kept_for_a_start_that_has_one(tmp_path: Path, receiver: Receiver) -> None:
    async with desk(tmp_path, None) as open_:
        await open_.add(feedback(0))
    async with desk(tmp_path, langfuse(receiver)):
        await until(lambda: left(tmp_path) == [])
    assert len(receiver.taken_scores) == 1


@pytest.mark.parametrize("mode", ["status:500", "status:401", "retryafter:0", "hang"])
async def test_what_cannot_be_sent_now_is_sent_later(tmp_path: Path, receiver: Receiver, mode: str) -> None:
    receiver.mode = mode
    pauses = Pauses()
    async with desk(tmp_path, langfuse(receiver, 0.3 if mode == "hang" else 3.0), pauses) as open_:
        for number in range(3):
            await open_.add(feedback(number))
        await until(lambda: len(pauses.asked) >= 2)
        assert receiver.taken_scores == []
        receiver.mode = "ok"
        receiver.released.set()
        await until(lambda: left(tmp_path) == [])
    assert {score["id"] for score in receiver.taken_scores} == {feedback(number).score_id for number in range(3)}


async def test_the_pauses_grow_to_a_bound_and_begin_anew_after_a_success(tmp_path: Path) -> None:
    sink, pauses = MoodySink(Unavailable("down")), Pauses()
    async with desk(tmp_path, sink, pauses) as open_:
        await open_.add(feedback(0))
        await until(lambda: len(pauses.asked) >= 9)
        sink.failure = None
        await until(lambda: sink.sent)
        grown = len(pauses.asked)
        sink.failure = Unavailable("down again")
        await open_.add(feedback(1))
        await until(lambda: len(pauses.asked) > grown)
    for number, pause in enumerate(pauses.asked[:9]):
        longest = min(LONGEST_PAUSE_S, 2.0**number)
        assert longest / 2 <= pause <= longest
    assert pauses.asked[grown] <= 1


@pytest.mark.parametrize(("told", "pause"), [(90.0, 90.0), (1e9, LONGEST_TOLD_S)], ids=["hour", "for-ever"])
async def test_a_pause_is_as_long_as_the_other_side_says(tmp_path: Path, told: float, pause: float) -> None:
    pauses = Pauses()
    async with desk(tmp_path, MoodySink(Unavailable("busy", extra={"retry_after_s": told})), pauses) as open_:
        await open_.add(feedback(0))
        await until(lambda: pauses.asked)
    assert pauses.asked[0] == pause


async def test_one_that_is_refused_is_told_and_holds_up_no_other(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.refused = {feedback(1).score_id}
    async with desk(tmp_path, langfuse(receiver)) as open_:
        for number in range(20):
            await open_.add(feedback(number, comment="hunter2"))
        await until(lambda: left(tmp_path) == [])
    [line] = caplog.messages
    assert feedback(1).score_id in line
    assert "HTTP 400" in line
    assert "hunter2" not in line
    assert (len(receiver.taken_scores), len(receiver.scores)) == (19, 20)


async def test_one_that_always_fails_holds_up_no_other(tmp_path: Path) -> None:
    sink = MoodySink(Unavailable("a bug of theirs"), poison=feedback(0).trace_id)
    pauses = Pauses()
    async with desk(tmp_path, sink, pauses) as open_:
        for number in range(30):
            await open_.add(feedback(number))
        await until(lambda: [each.trace_id for each in left(tmp_path)] == [sink.poison])
    assert len(sink.sent) == 29
    assert pauses.asked[0] <= 1


async def test_a_word_that_comes_while_the_former_is_sent_is_sent_too(tmp_path: Path) -> None:
    sink = MoodySink()
    sink.gate.clear()
    async with desk(tmp_path, sink) as open_:
        await open_.add(feedback(0, 1.0))
        await until(lambda: sink.asked)
        await open_.add(feedback(0, -1.0))
        sink.gate.set()
        await until(lambda: [each.score for each in sink.sent] == [1.0, -1.0])


async def test_a_stop_while_something_is_sent_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    receiver.mode = "hang"
    async with desk(tmp_path, langfuse(receiver)) as open_:
        await open_.add(feedback(0))
        await until(lambda: receiver.scores)
    assert [each.trace_id for each in left(tmp_path)] == [feedback(0).trace_id]


async def test_many_failures_are_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pauses = Pauses()
    sink = MoodySink(Unavailable("Langfuse answered HTTP 401.", hint="Check LANGFUSE_PUBLIC_KEY."))
    async with desk(tmp_path, sink, pauses) as open_:
        await open_.add(feedback(0))
        await until(lambda: len(pauses.asked) >= 5)
    assert caplog.messages == ["feedback waits to be sent: Langfuse answered HTTP 401. Check LANGFUSE_PUBLIC_KEY."]
    assert sink.closed


async def test_what_nobody_foresaw_is_logged_whole_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sink = MoodySink(ZeroDivisionError("oops"))
    async with desk(tmp_path, sink, pauses := Pauses()) as open_:
        await open_.add(feedback(0))
        await until(lambda: pauses.asked)
        sink.failure = None
        await until(lambda: sink.sent)
    [record] = caplog.records
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError


async def test_what_is_dropped_for_want_of_room_is_counted_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with desk(tmp_path, None, max_waiting=5) as open_:
            for number in range(9):
                await open_.add(feedback(number))
    assert caplog.messages == ["so much feedback waits to be sent that the 1 oldest were dropped"]
    assert [each.trace_id for each in left(tmp_path)] == [feedback(number).trace_id for number in range(4, 9)]


async def test_a_store_that_fails_does_not_end_the_sending(tmp_path: Path) -> None:
    class Failing(SqliteFeedback):
        failures = 2

        def settle(self, numbers: object, *, refused: bool = False) -> None:
            if self.failures:
                self.failures -= 1
                raise IndexUnavailable("disk full")
            super().settle(numbers, refused=refused)  # type: ignore[arg-type]

    sink = MoodySink()
    store = Failing(tmp_path / "feedback.sqlite3")
    open_ = FeedbackDesk(store, sink, Pauses())
    open_.start()
    await open_.add(feedback(0))
    await until(lambda: len(sink.sent) == 3)
    await until(lambda: not store.waiting(1))
    await open_.stop()
    assert left(tmp_path) == []

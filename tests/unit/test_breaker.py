"""The circuit breaker: who keeps failing rests, one call tries again, and only failures of the part count."""

from __future__ import annotations

import asyncio

import pytest

from answerbox.breaker import Breaker
from answerbox.errors import (
    AnswerboxError,
    DeadlineExceeded,
    DocumentNotFound,
    IndexUnavailable,
    NotReady,
    Overloaded,
    Unavailable,
)
from tests.doubles import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, rest_s=5, clock=clock)


class Part:
    """Counts the calls that reach it; fails with `error` while there is one."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.calls = 0
        self.error: BaseException | None = None

    def __call__(self) -> None:
        with self.breaker.around():
            self.calls += 1
            if self.error:
                raise self.error

    def fails(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(BaseException):  # noqa: B017, PT011
                self()


@pytest.fixture
def part(breaker: Breaker) -> Part:
    return Part(breaker)


def test_after_failures_in_a_row_nobody_calls_and_the_failure_is_told_again(part: Part) -> None:
    part.error = IndexUnavailable("It is down.", hint="Wait.")
    part.fails(3)
    with pytest.raises(IndexUnavailable, match="It is down") as caught:
        part()
    assert part.calls == 3
    assert part.breaker.is_open
    assert (caught.value.hint, caught.value.extra) == ("Wait.", {"retry_after_s": 5})


def test_an_answer_between_failures_starts_the_count_anew(part: Part) -> None:
    part.error = IndexUnavailable("down")
    part.fails(2)
    part.error = None
    part()
    part.error = IndexUnavailable("down")
    part.fails(2)
    assert not part.breaker.is_open


def test_after_the_rest_one_call_tries_and_opens_the_way(part: Part, clock: Clock) -> None:
    part.error = IndexUnavailable("down")
    part.fails(3)
    clock.now += 5.1
    part.fails()
    assert part.calls == 4
    part.fails()
    assert part.calls == 4, "the try failed: it rests again"
    clock.now += 5.1
    part.error = None
    part()
    part()
    assert (part.calls, part.breaker.is_open) == (6, False)


def test_while_one_call_tries_the_others_are_refused(breaker: Breaker, part: Part, clock: Clock) -> None:
    part.error = IndexUnavailable("down")
    part.fails(3)
    clock.now += 5.1
    with breaker.around():
        part.error = None
        part.fails(4)
    assert part.calls == 3
    part()
    assert part.calls == 4


@pytest.mark.parametrize("error", [NotReady("soon"), Overloaded("busy"), DocumentNotFound("none"), ValueError("bug")])
def test_what_the_part_answers_is_no_failure_of_it(part: Part, error: AnswerboxError) -> None:
    part.error = error
    part.fails(10)
    assert part.calls == 10


def test_a_cancelled_call_says_nothing_of_the_part(part: Part, clock: Clock) -> None:
    part.error = IndexUnavailable("down")
    part.fails(2)
    part.error = asyncio.CancelledError()
    part.fails()
    part.error = IndexUnavailable("down")
    part.fails()
    assert part.breaker.is_open
    clock.now += 5.1
    part.error = asyncio.CancelledError()
    part.fails()
    assert part.breaker.is_open
    part.error = None
    part()
    assert not part.breaker.is_open


def test_a_requests_own_deadline_says_nothing_of_the_part(part: Part) -> None:
    part.error = IndexUnavailable("down")
    part.fails(2)
    part.error = DeadlineExceeded("too late")
    part.fails()
    part.error = IndexUnavailable("down")
    part.fails()
    assert part.breaker.is_open


def test_a_failure_that_does_not_count_leaves_the_way_open(clock: Clock) -> None:
    def counts(exc: Unavailable) -> bool:
        return exc.message == "down"

    part = Part(Breaker(clock=clock, counts=counts))
    part.error = IndexUnavailable("refused")
    part.fails(9)
    assert part.calls == 9

"""Who may wait, and who is next."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.adapters.generation.waiting_line import Rate, WaitingLine
from answerbox.errors import Overloaded


@dataclass(eq=False)
class Job:
    user: str
    cost: float = 10.0


def line(capacity: float = 1_000, longest_wait_s: float = 30, rate: float | None = None) -> WaitingLine[Job]:
    made: WaitingLine[Job] = WaitingLine(capacity, longest_wait_s)
    if rate:
        made.rate.add(rate * 10, 10)
    return made


def served(waiting: WaitingLine[Job]) -> list[str]:
    order = []
    while job := waiting.take(lambda _: True):
        order.append(job.user)
    return order


def flood(waiting: WaitingLine[Job]) -> Overloaded:
    """Enters until it is refused."""
    for _ in range(1_000):
        try:
            waiting.enter(Job("flood"), None)
        except Overloaded as refusal:
            return refusal
    raise AssertionError("nothing was refused")


def test_one_user_is_served_in_order() -> None:
    waiting = line()
    jobs = [Job("a") for _ in range(3)]
    for job in jobs:
        waiting.enter(job, None)
    assert [waiting.take(lambda _: True) for _ in range(4)] == [*jobs, None]


def test_users_take_turns_however_long_their_lines_are() -> None:
    waiting = line()
    for user in "aaaaaabbc":
        waiting.enter(Job(user), None)
    order = served(waiting)
    assert set(order[:3]) == {"a", "b", "c"}
    assert order[3:] == ["a", "b", "a", "a", "a", "a"] or order[3:] == ["b", "a", "a", "a", "a", "a"]


def test_long_jobs_count_for_more() -> None:
    waiting = line()
    for _ in range(4):
        waiting.enter(Job("long", 40), None)
        waiting.enter(Job("short", 10), None)
    order = served(waiting)
    assert order[:5].count("short") >= 3


def test_who_was_idle_gets_no_credit_for_it() -> None:
    waiting = line()
    for _ in range(10):
        waiting.enter(Job("busy"), None)
    for _ in range(8):
        waiting.take(lambda _: True)
    for _ in range(4):
        waiting.enter(Job("late"), None)
    assert served(waiting) in (
        ["busy", "late", "busy", "late", "late", "late"],
        ["late", "busy", "late", "busy", "late", "late"],
    )


def test_nobody_overtakes_one_that_does_not_fit() -> None:
    waiting = line()
    waiting.enter(Job("a", 50), None)
    waiting.enter(Job("a", 1), None)
    assert waiting.take(lambda job: job.cost < 10) is None
    assert len(waiting) == 2


def test_a_flood_leaves_room_for_others() -> None:
    waiting = line(capacity=1_000)
    flood(waiting)
    assert 45 <= len(waiting) <= 55
    for _ in range(10):
        waiting.enter(Job("light"), None)


def test_work_that_would_wait_too_long_is_refused_with_the_time_to_come_back() -> None:
    waiting = line(capacity=100_000, longest_wait_s=5, rate=100)
    assert flood(waiting).extra["retry_after_s"] == 1
    assert 500 <= waiting.tokens <= 520
    waiting.enter(Job("another"), None)


def test_work_that_would_start_after_its_deadline_is_refused() -> None:
    waiting = line(capacity=100_000, rate=100)
    for _ in range(20):
        waiting.enter(Job("a"), None)
    with pytest.raises(Overloaded):
        waiting.enter(Job("a"), timeout_s=1.0)
    waiting.enter(Job("a"), timeout_s=3.0)


def test_without_a_measured_rate_only_the_length_counts() -> None:
    waiting = line(capacity=10_000, longest_wait_s=0.001)
    for _ in range(100):
        waiting.enter(Job("a"), timeout_s=0.001)


def test_who_leaves_makes_room() -> None:
    waiting = line(capacity=20)
    job = Job("a", 20)
    waiting.enter(job, None)
    with pytest.raises(Overloaded):
        waiting.enter(Job("b"), None)
    assert waiting.leave(job)
    assert not waiting.leave(job)
    waiting.enter(Job("b"), None)
    assert waiting.tokens == 10


def test_a_rate_forgets_and_wants_some_time_first() -> None:
    rate = Rate(memory_s=1)
    rate.add(50, 0.5)
    assert rate.value is None
    for _ in range(100):
        rate.add(5, 0.1)
    assert rate.value == pytest.approx(50, rel=0.01)
    for _ in range(100):
        rate.add(1, 0.1)
    assert rate.value == pytest.approx(10, rel=0.01)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30))))
def test_everything_that_enters_comes_out_once(jobs: list[tuple[str, int]]) -> None:
    waiting = line(capacity=1_000_000)
    for user, cost in jobs:
        waiting.enter(Job(user, cost), None)
    assert sorted(served(waiting)) == sorted(user for user, _ in jobs)
    assert (len(waiting), waiting.tokens) == (0, 0)

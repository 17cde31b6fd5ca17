"""Steps are recorded, and idempotent ones are tried again inside the deadline."""

from __future__ import annotations

import pytest

from answerbox.errors import (
    AnswerboxError,
    BadUpstream,
    DeadlineExceeded,
    EmbedderUnavailable,
    IndexUnavailable,
    Overloaded,
)
from answerbox.pipelines.context import RequestContext
from answerbox.retrying import ATTEMPTS, RetryBudget


class Work:
    """Fails with these errors, one after the other, then succeeds."""

    def __init__(self, *failures: AnswerboxError) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def test_a_step_is_recorded_with_its_time() -> None:
    context = RequestContext("r1", 5)
    with context.step("embed"):
        assert context.steps == []
    assert [step.name for step in context.steps] == ["embed"]
    assert context.steps[0].duration_ms >= 0
    assert context.steps[0].start_ms <= context.elapsed_ms()


def test_a_step_that_fails_is_recorded_too() -> None:
    context = RequestContext("r1", 5)
    with pytest.raises(ZeroDivisionError), context.step("search"):
        _ = 1 / 0
    assert [step.name for step in context.steps] == ["search"]


@pytest.mark.parametrize(
    "failures",
    [[], [IndexUnavailable("down")], [EmbedderUnavailable("down"), Overloaded("busy")]],
    ids=["at-once", "second-time", "third-time"],
)
async def test_an_unavailable_part_is_asked_again_and_counted(failures: list[AnswerboxError]) -> None:
    context, work, count = RequestContext("r1", 30), Work(*failures), len(failures)
    with context.step("search") as step:
        assert await context.again(step, RetryBudget(), work) == "done"
    assert (work.calls, context.steps[0].retries) == (count + 1, count)


async def test_a_part_that_stays_down_fails_with_its_own_error() -> None:
    context, work = RequestContext("r1", 30), Work(*[IndexUnavailable(str(n)) for n in range(9)])
    with pytest.raises(IndexUnavailable), context.step("search") as step:
        await context.again(step, RetryBudget(), work)
    assert (work.calls, context.steps[0].retries) == (ATTEMPTS, ATTEMPTS - 1)


async def test_a_part_that_is_restarted_is_waited_for_and_costs_no_budget() -> None:
    context, budget, failures = RequestContext("r1", 30), RetryBudget(at_once=1), ATTEMPTS + 1
    work = Work(*[IndexUnavailable("down")] * failures)
    with context.step("search") as step:
        assert await context.again(step, budget, work, patience_s=30) == "done"
    assert (work.calls, context.steps[0].retries) == (failures + 1, failures)
    with context.step("search") as step:
        assert await context.again(step, budget, Work(IndexUnavailable("down"))) == "done"


async def test_patience_ends() -> None:
    context, work = RequestContext("r1", 30), Work(*[IndexUnavailable("down")] * 999)
    with pytest.raises(IndexUnavailable), context.step("search") as step:
        await context.again(step, RetryBudget(), work, patience_s=0.5)
    assert context.steps[0].duration_ms >= 400
    assert work.calls >= ATTEMPTS


async def test_a_failure_that_will_not_pass_is_not_tried_again() -> None:
    context, work = RequestContext("r1", 30), Work(BadUpstream("nonsense"))
    with pytest.raises(BadUpstream), context.step("search") as step:
        await context.again(step, RetryBudget(), work)
    assert work.calls == 1


async def test_a_part_that_fails_everybody_gets_few_calls_more_than_there_are_requests() -> None:
    context, budget, work = RequestContext("r1", 60), RetryBudget(at_once=4), Work(*[IndexUnavailable("down")] * 999)
    for _ in range(20):
        with pytest.raises(IndexUnavailable), context.step("search") as step:
            await context.again(step, budget, work)
    assert 20 + 4 <= work.calls <= 20 + 4 + 20 * 0.1


async def test_a_budget_that_was_spent_is_earned_anew() -> None:
    context, budget = RequestContext("r1", 60), RetryBudget(share=0.5, at_once=1)
    retries = []
    for failures in (1, 0, 1):
        with context.step("search") as step:
            await context.again(step, budget, Work(*[IndexUnavailable("down")] * failures))
        retries.append(step.retries)
    assert retries == [1, 0, 1]


async def test_no_attempt_starts_after_the_deadline() -> None:
    context, work = RequestContext("r1", 0.0), Work(*[IndexUnavailable("down")] * 9)
    with pytest.raises(DeadlineExceeded), context.step("search") as step:
        await context.again(step, RetryBudget(), work)
    assert work.calls <= 1
    assert [step.name for step in context.steps] == ["search"]


def test_what_does_not_work_is_noted_once() -> None:
    context = RequestContext("r1", 5)
    for part in ("vectors", "passages_dropped", "vectors"):
        context.degrade(part)
    assert context.degraded == ["vectors", "passages_dropped"]

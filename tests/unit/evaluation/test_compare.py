"""Two runs compared: what changed, for whom, and how likely that is by chance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from answerbox.errors import InvalidRequest
from answerbox.evaluation import tables
from answerbox.evaluation.compare import Difference, compare, mcnemar, paired_bootstrap
from answerbox.evaluation.result import AnswerRow, Result, SearchRow
from tests.unit.evaluation.kit import ABOUT


def searched(*ranks: int) -> Result:
    rows = [SearchRow("en", f"q{number}", "?", "d", rank=rank) for number, rank in enumerate(ranks)]
    return Result(ABOUT, rows, [])


def answered(*refused: bool) -> Result:
    rows = [AnswerRow("ru", f"q{number}", "?", "d", ["a"], refused=no) for number, no in enumerate(refused)]
    return Result(ABOUT, [], rows)


def difference(before: Result, after: Result, label: str) -> Difference:
    [found] = [one for one in compare(before, after).differences if one.label == label]
    return found


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (0, 0, 1.0),
        (5, 0, 2 / 32),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (3, 3, 1.0),
    ],
)
def test_mcnemar_is_exact(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p)


def test_mcnemar_bears_many_changes() -> None:
    assert 0 <= mcnemar(4_000, 2_000) < 1e-100


def test_a_bootstrap_knows_a_steady_change_from_none() -> None:
    assert paired_bootstrap([0.1] * 20) < 0.002
    assert paired_bootstrap([0.0] * 20) == 1.0
    assert paired_bootstrap([0.1, -0.1] * 20) > 0.5


def test_wins_and_losses_are_named_question_by_question() -> None:
    found = difference(searched(1, 2, 0, 1), searched(1, 1, 1, 3), "hit@1")
    assert (found.won, found.lost, found.questions) == (["q1", "q2"], ["q3"], 4)
    assert (found.before, found.after, found.change) == (0.5, 0.75, 0.25)
    assert (found.test, found.p) == ("McNemar", 1.0)
    assert found.interval.low <= found.change <= found.interval.high


def test_measures_that_are_no_yes_or_no_are_compared_by_bootstrap() -> None:
    found = difference(searched(2, 2, 0), searched(1, 1, 0), "MRR@10")
    assert (found.test, found.won, found.lost) == ("bootstrap", ["q0", "q1"], [])


def test_fewer_refusals_of_answerable_questions_are_wins() -> None:
    found = difference(answered(True, True, False), answered(False, True, True), "answerable but refused")
    assert (found.won, found.lost) == (["q0"], ["q2"])


def test_questions_of_one_run_only_are_left_out_and_named() -> None:
    comparison = compare(searched(1, 1), searched(1, 1, 1))
    assert (comparison.only_before, comparison.only_after) == ([], ["search en/q2"])
    assert {one.questions for one in comparison.differences} == {2}


def test_runs_without_a_common_question_cannot_be_compared() -> None:
    with pytest.raises(InvalidRequest, match="no question in common"):
        compare(searched(1), answered(True))


def test_a_failed_request_loses() -> None:
    after = searched(1, 1)
    after = replace(after, search=[after.search[0], replace(after.search[1], rank=0, error="overloaded: no")])
    assert difference(searched(1, 1), after, "hit@1").lost == ["q1"]


def test_a_comparison_is_a_table() -> None:
    table = tables.of_comparison(compare(searched(2, 2), searched(1, 1)))
    assert {len(row) for row in table.rows} == {len(table.header)}
    [row] = [row for row in table.rows if row[0] == "hit@1"]
    assert row[1:] == ["English", "2", "0.000", "1.000", "+1.000 (+1.000 to +1.000)", "2", "0", "0.500", "McNemar"]

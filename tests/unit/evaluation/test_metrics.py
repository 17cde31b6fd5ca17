"""Measures against values computed by hand."""

from __future__ import annotations

import pytest

from answerbox.evaluation import metrics
from answerbox.evaluation.metrics import Interval


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("The  Cat, sat — on «a» mat!", "en", "cat sat on mat"),
        ("Levi's U.S. $5", "en", "levis us 5"),
        ("An anthem\nthe theme", "en", "anthem theme"),
        ("«Ёлка» — это не ель…", "ru", "елка это не ель"),
        ("Витамин A", "ru", "витамин a"),
        ("„Зимний” дворец", "ru", "зимний дворец"),
        ("the ё", "de", "the ё"),
        ("…", "en", ""),
    ],
)
def test_a_text_is_normalised_by_its_language(text: str, language: str, expected: str) -> None:
    assert metrics.normalised(text, language) == expected


@pytest.mark.parametrize(
    ("answer", "accepted", "language", "expected"),
    [
        ("The Forest.", ["a forest"], "en", True),
        ("In the forest", ["forest"], "en", False),
        ("Ёлка", ["ёж", "«елка»"], "ru", True),
        ("", ["forest"], "en", False),
    ],
)
def test_exact_match(answer: str, accepted: list[str], language: str, expected: bool) -> None:
    assert metrics.exact(answer, accepted, language) is expected


@pytest.mark.parametrize(
    ("answer", "accepted", "language", "expected"),
    [
        ("in the year 1999", ["1999"], "en", 0.5),  # precision 1/3, recall 1
        ("the cat the dog", ["dog cat"], "en", 1.0),
        ("cat cat", ["cat"], "en", 2 / 3),  # a word counts as often as both have it
        ("zebra", ["okapi", "a zebra runs"], "en", 2 / 3),  # the nearest accepted answer counts
        ("четыре перехвата Дэвиса", ["четыре перехвата"], "ru", 0.8),
        ("ещё", ["еще"], "ru", 1.0),
        ("", ["cat"], "en", 0.0),
        ("cat", [], "en", 0.0),
    ],
)
def test_token_f1(answer: str, accepted: list[str], language: str, expected: float) -> None:
    assert metrics.f1(answer, accepted, language) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "accepted", "language", "expected"),
    [
        ("They gave up 308 points.", ["308"], "en", True),
        ("They gave up 1308 points.", ["308"], "en", False),
        ("From 1999–2003.", ["2003"], "en", True),
        ("Manning’s throw", ["Manning"], "en", True),
        ("Levi's Stadium", ["Levi’s"], "en", True),
        ("It is a well-known fact", ["well known"], "en", True),
        ("He hides in a forest", ["in the forest"], "en", True),
        ("the", ["the"], "en", False),  # nothing is left of it
        ("Он лидировал с «четырьмя» попаданиями", ["Четырьмя"], "ru", True),
        ("Его зовут Шорта", ["Шорт"], "ru", False),
    ],
)
def test_an_answer_contains_whole_words_in_a_row(
    answer: str, accepted: list[str], language: str, expected: bool
) -> None:
    assert metrics.contains(answer, accepted, language) is expected


def test_a_rank_counts_documents_not_passages() -> None:
    assert metrics.rank(["a", "a", "b", "a", "c"], "c") == 3
    assert metrics.rank(["a", "b"], "c") == 0
    assert metrics.rank([str(number) for number in range(20)], "9") == 10
    assert metrics.rank([str(number) for number in range(20)], "10") == 0


def test_hits_and_reciprocal_ranks() -> None:
    ranks = [1, 2, 4, 0]
    assert [sum(metrics.hit(rank, within) for rank in ranks) / 4 for within in (1, 3, 5, 10)] == [0.25, 0.5, 0.75, 0.75]
    assert metrics.mean([metrics.reciprocal(rank) for rank in ranks]) == pytest.approx((1 + 0.5 + 0.25) / 4)


def test_percentiles_are_values_that_occurred() -> None:
    assert metrics.percentile(list(range(1, 21)), 0.95) == 19
    assert metrics.percentile([7], 0.95) == 7
    assert metrics.percentile([], 0.95) is None
    assert metrics.median([3, 1, 2]) == 2
    assert metrics.median([]) is None


def test_an_interval_is_the_same_every_time_and_holds_the_mean() -> None:
    values = [1.0] * 60 + [0.0] * 40
    bounds = metrics.interval(values)
    assert bounds == metrics.interval(values)
    assert bounds
    # The normal approximation: 0.6 ± 1.96 · sqrt(0.6 · 0.4 / 100)
    assert (bounds.low, bounds.high) == pytest.approx((0.504, 0.696), abs=0.02)


def test_an_interval_of_equal_values_has_no_width_and_of_none_there_is_none() -> None:
    assert metrics.interval([1.0, 1.0, 1.0]) == Interval(1.0, 1.0)
    assert metrics.interval([]) is None

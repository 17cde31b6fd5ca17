"""Choosing the next token."""

from __future__ import annotations

import pytest
import torch

from answerbox.adapters.generation.sampling import Sampler

LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def draws(sampler: Sampler, count: int = 200) -> list[int]:
    return [sampler.choose(LOGITS) for _ in range(count)]


def test_temperature_0_takes_the_likeliest() -> None:
    assert set(draws(Sampler(0.0, 1.0, None), 20)) == {0}


def test_the_same_seed_draws_the_same_tokens() -> None:
    assert draws(Sampler(1.0, 1.0, 7)) == draws(Sampler(1.0, 1.0, 7))


@pytest.mark.parametrize("seed", [8, None], ids=["another-seed", "no-seed"])
def test_another_seed_draws_other_tokens(seed: int | None) -> None:
    assert draws(Sampler(1.0, 1.0, 7)) != draws(Sampler(1.0, 1.0, seed))


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_every_seed_of_the_contract_works(seed: int) -> None:
    assert Sampler(1.0, 1.0, seed).choose(LOGITS) in range(4)


@pytest.mark.parametrize(
    ("top_p", "kept"), [(0.001, {0}), (0.5, {0}), (0.6, {0, 1}), (0.9, {0, 1, 2}), (1.0, {0, 1, 2, 3})]
)
def test_only_the_nucleus_is_drawn(top_p: float, kept: set[int]) -> None:
    assert set(draws(Sampler(1.0, top_p, 3), 400)) == kept


def test_a_low_temperature_sharpens_and_a_high_one_flattens() -> None:
    cold, warm = draws(Sampler(0.2, 1.0, 5), 400), draws(Sampler(2.0, 1.0, 5), 400)
    assert cold.count(0) > 350
    assert warm.count(0) < 200
    assert set(warm) == {0, 1, 2, 3}


def test_other_requests_do_not_disturb_the_draw() -> None:
    alone = draws(Sampler(1.0, 0.9, 11), 50)
    mine, other = Sampler(1.0, 0.9, 11), Sampler(1.0, 1.0, 12)
    torch.manual_seed(99)
    together = []
    for _ in range(50):
        other.choose(LOGITS)
        together.append(mine.choose(LOGITS))
    assert together == alone


def test_the_logits_are_left_as_they_were() -> None:
    before = LOGITS.clone()
    draws(Sampler(0.7, 0.5, 1), 5)
    assert torch.equal(LOGITS, before)

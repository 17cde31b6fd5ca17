"""The running batch gives each row what the model gives that row alone. With a tiny model of random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from answerbox.adapters.generation.running_batch import BatchRow, RunningBatch
from answerbox.adapters.generation.sampling import Sampler

PROMPTS = ([5, 6, 7], [9], [11, 12, 13, 14, 15, 16, 17], [2, 3], [8, 8, 8, 8, 8])


class Recorder(Sampler):
    """Greedy; keeps the logits that it was shown."""

    def __init__(self) -> None:
        super().__init__(0.0, 1.0, None)
        self.seen: list[torch.Tensor] = []

    def choose(self, logits: torch.Tensor) -> int:
        self.seen.append(logits.clone())
        return super().choose(logits)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).double().eval()


def row(prompt: list[int]) -> BatchRow:
    return BatchRow(id=0, prompt=prompt, max_tokens=100, sampler=Recorder())


def check(model: Any, row: BatchRow) -> None:
    """Every choice was made from the logits of a plain run over all tokens before it."""
    assert isinstance(row.sampler, Recorder)
    tokens = [*row.prompt, *row.made[:-1]]
    with torch.inference_mode():
        whole = model(input_ids=torch.tensor([tokens])).logits[0, len(row.prompt) - 1 :]
    assert torch.allclose(torch.stack(row.sampler.seen), whole, atol=1e-9)


def test_a_row_alone_is_the_plain_model(model: Any) -> None:
    batch, alone = RunningBatch(model, pad_token=0), row(PROMPTS[0])
    batch.admit([alone])
    for _ in range(8):
        batch.step()
    assert len(alone.made) == 9
    check(model, alone)


def test_rows_of_different_length_do_not_disturb_each_other(model: Any) -> None:
    batch, rows = RunningBatch(model, pad_token=0), [row(prompt) for prompt in PROMPTS]
    batch.admit(rows)
    for _ in range(6):
        batch.step()
    for each in rows:
        check(model, each)


def test_rows_that_join_and_leave_between_two_tokens_do_not_disturb_the_others(model: Any) -> None:
    batch, rows = RunningBatch(model, pad_token=0), [row(prompt) for prompt in PROMPTS]
    batch.admit(rows[:2])
    batch.step()
    batch.admit(rows[2:4])  # longer than what runs
    batch.step()
    batch.remove({0, 2})  # the longest leaves, and its padding with it
    batch.step()
    batch.admit(rows[4:])
    batch.step()
    batch.remove({1})
    batch.step()
    assert [len(each.made) for each in rows] == [3, 6, 2, 4, 3]
    assert batch.rows == [rows[1], rows[4]]
    for each in rows:
        check(model, each)


def test_an_emptied_batch_begins_anew(model: Any) -> None:
    batch, first, second = RunningBatch(model, pad_token=0), row(PROMPTS[2]), row(PROMPTS[1])
    batch.admit([first])
    batch.remove({0})
    assert batch.rows == []
    batch.admit([second])
    batch.step()
    check(model, second)


def test_a_cleared_batch_begins_anew(model: Any) -> None:
    batch, second = RunningBatch(model, pad_token=0), row(PROMPTS[4])
    batch.admit([row(PROMPTS[0]), row(PROMPTS[1])])
    batch.clear()
    batch.admit([second])
    batch.step()
    check(model, second)

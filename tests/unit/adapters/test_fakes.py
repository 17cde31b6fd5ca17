"""What the shipped doubles promise beyond their ports."""

from __future__ import annotations

import time

from answerbox.adapters.fakes import FakeEmbedder, FakeEngine, FakeTokenizer
from answerbox.adapters.generation.engine import Made, Row
from answerbox.ports import Message


def said(engine: FakeEngine, tokenizer: FakeTokenizer, row: Row) -> tuple[str, Made]:
    engine.add(row)
    made: list[Made] = []
    while engine.busy:
        made += engine.step()
    return tokenizer.decode([token for each in made for token in each.tokens]), made[-1]


MESSAGES = (Message("system", "one two"), Message("user", "Раз, два three"))


def test_the_fake_model_repeats_the_last_message() -> None:
    tokenizer = FakeTokenizer()
    text, last = said(FakeEngine(), tokenizer, Row(1, tokenizer.prompt(MESSAGES), 50))
    assert (text, last.ended) == ("Раз, два three", "stop")


def test_the_fake_model_ends_at_its_limit() -> None:
    tokenizer = FakeTokenizer()
    text, last = said(FakeEngine(), tokenizer, Row(1, tokenizer.prompt(MESSAGES), 2))
    assert (text, last.ended) == ("Раз, два", "length")


def test_the_fake_model_goes_on_after_what_it_has_said() -> None:
    tokenizer = FakeTokenizer()
    prompt = tokenizer.prompt(MESSAGES)
    first = FakeEngine()
    first.add(Row(1, prompt, 1))
    (made,) = first.step()
    text, _ = said(FakeEngine(), tokenizer, Row(1, prompt + made.tokens, 50))
    assert text == "два three"


def test_the_fake_model_takes_its_time_per_word() -> None:
    tokenizer = FakeTokenizer()
    began = time.monotonic()
    assert said(FakeEngine(0.02), tokenizer, Row(1, tokenizer.prompt(MESSAGES), 50))
    assert time.monotonic() - began >= 0.05


async def test_texts_that_share_words_are_nearer_than_others() -> None:
    bread, loaf, fish = await FakeEmbedder().embed(["bread and butter", "butter on bread", "fish"], "passage")

    def cosine(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert cosine(bread, loaf) > 0.6 > cosine(bread, fish)

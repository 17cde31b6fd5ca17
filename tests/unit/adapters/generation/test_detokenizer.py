"""From tokens to text, with the tokenizer of the embedded model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from answerbox.adapters.generation.detokenizer import UNFINISHED, Detokenizer
from answerbox.adapters.model_store import find

TEXTS = [
    pytest.param("The capital of France is Paris.", id="english"),
    pytest.param("Столица Франции — Париж, ёлки!", id="cyrillic"),
    pytest.param("🙂 👩‍👩‍👧 🇫🇷 👍🏽", id="emoji"),
    pytest.param("日本語と한국어", id="cjk"),
    pytest.param("a\n\n  b\tc   d", id="blanks"),
    pytest.param("e\u0301 n\u0303 \u200b", id="combining"),
    pytest.param("def f(x):\n    return x  # ок 🙂\n", id="code"),
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(find("smollm2-135m-instruct").path / "tokenizer.json"))


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer.decode)
    return [*(detokenizer.add(token) for token in ids), detokenizer.rest()]


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_text_and_no_character_is_cut(text: str, tokenizer: Tokenizer) -> None:
    found = pieces(tokenizer, encode(tokenizer, text))
    assert "".join(found) == text
    assert not [piece for piece in found if UNFINISHED in piece]


def test_a_character_of_several_tokens_comes_whole_with_its_last(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, "🦤")
    assert len(ids) > 1
    *before, last, rest = pieces(tokenizer, ids)
    assert (set(before), last, rest) == ({""}, "🦤", "")


def test_words_come_as_soon_as_they_are_made(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, "The capital of France")
    assert all(pieces(tokenizer, ids)[: len(ids)])


def test_half_a_character_at_the_end_is_replaced_and_not_lost(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, "ok 🦤")[:-1]
    assert "".join(pieces(tokenizer, ids)) == "ok " + UNFINISHED


def test_nothing_is_left_after_the_rest(tokenizer: Tokenizer) -> None:
    detokenizer = Detokenizer(tokenizer.decode)
    for token in encode(tokenizer, "🦤")[:-1]:
        detokenizer.add(token)
    assert detokenizer.rest() == UNFINISHED
    assert detokenizer.rest() == ""


def test_special_tokens_are_no_text(tokenizer: Tokenizer) -> None:
    ids = encode(tokenizer, "one")
    assert "".join(pieces(tokenizer, [*ids, 2])) == "one"


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from("aё🙂👩\u200d日 \n."), max_size=30) | st.text(max_size=30))
def test_the_pieces_of_any_text_are_that_text(tokenizer: Tokenizer, text: str) -> None:
    ids = encode(tokenizer, text)
    assert "".join(pieces(tokenizer, ids)) == tokenizer.decode(ids)


@settings(max_examples=60, deadline=None)
@given(ids=st.lists(st.integers(0, 49_000), max_size=25))
def test_the_pieces_of_any_tokens_are_their_text(tokenizer: Tokenizer, ids: list[int]) -> None:
    whole = tokenizer.decode(ids)
    assert "".join(pieces(tokenizer, ids)) == whole

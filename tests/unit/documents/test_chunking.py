"""Passages are pieces of the text, word for word, and no longer than they may be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from answerbox.documents.chunking import Chunker, chunk_id
from answerbox.text import terms

GUIDE = """# Guide

Введение: ёлка 🙂 и «кавычки».

## First steps

Install it. Start it. Ask it something.

- one
- two

## Второй раздел

Здесь описано остальное. Оно короткое.

```python
print("# no heading")
```
"""


def words(text: str) -> int:
    return len(text.split())


def chunker(capacity: int = 12) -> Chunker:
    return Chunker(words, capacity)


def test_a_short_text_is_one_passage() -> None:
    [chunk] = chunker().chunks("doc", "One short line.")
    assert (chunk.document_id, chunk.ordinal, chunk.text) == ("doc", 0, "One short line.")
    assert (chunk.start, chunk.end) == (0, 15)


def test_a_heading_stays_with_its_text() -> None:
    texts = [chunk.text for chunk in chunker().chunks("doc", GUIDE)]
    assert any(text.startswith("## First steps") and "Install it." in text for text in texts)
    assert any(text.startswith("## Второй раздел") and "описано" in text for text in texts)


@pytest.mark.parametrize("text", ["", " ", "\n\n\t\n", "\u00a0"], ids=repr)
def test_a_blank_text_has_no_passages(text: str) -> None:
    assert chunker().chunks("doc", text) == []


def test_the_same_document_has_the_same_ids() -> None:
    one, other = chunker().chunks("doc", GUIDE), chunker().chunks("doc", GUIDE)
    assert one == other
    assert len({chunk.id for chunk in one}) == len(one) > 1


def test_ids_depend_on_document_place_and_text() -> None:
    ids = {chunk_id("a", 0, "x"), chunk_id("b", 0, "x"), chunk_id("a", 1, "x"), chunk_id("a", 0, "y")}
    assert len(ids) == 4


def test_the_same_line_twice_has_two_ids() -> None:
    chunks = chunker(3).chunks("doc", "Same line here.\n\n" * 3)
    assert len({chunk.id for chunk in chunks}) == len(chunks) == 3


PIECES = st.sampled_from(
    [
        "# A\n",
        "## Раздел\n\n",
        "слово ",
        "word ",
        "ёлка. ",
        "🙂👩‍👩‍👧 ",
        "\n\n",
        "- item\n",
        "> quote\n",
        "`code`",
        "```\n",
        "é ",
        "\t",
        "| a | b |\n|---|---|\n",
        "日本語",
        "&amp; ",
        "[x](y) ",
        "\r\n",
        "\u2028",
        "***",
    ]
)
MARKDOWN = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200)


@settings(max_examples=150, deadline=None)
@example("\x1f", 1)  # Python takes this for a blank, the splitter does not
@given(MARKDOWN, st.integers(1, 15))
def test_any_text_is_cut_into_spans_of_itself(text: str, capacity: int) -> None:
    chunks = chunker(capacity).chunks("doc", text)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert all(one.end <= other.start for one, other in pairwise(chunks))
    assert all(chunk.text.strip() for chunk in chunks)
    assert all(words(chunk.text) <= capacity for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@settings(max_examples=100, deadline=None)
@given(MARKDOWN)
def test_no_word_of_any_text_is_lost(text: str) -> None:
    chunks = chunker(10).chunks("doc", text)
    assert [term for chunk in chunks for term in terms(chunk.text)] == terms(text)

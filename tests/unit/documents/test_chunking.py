"""Passages are pieces of the text, word for word, and no longer than they may be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from answerbox.documents.chunking import CHARACTERS_PER_TOKEN, Chunker, chunk_id, estimated_tokens
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


def chunker(capacity: int = 12, overlap: int = 0) -> Chunker:
    return Chunker(words, capacity, overlap)


def texts(text: str, capacity: int = 12, overlap: int = 0) -> list[str]:
    return [chunk.text for chunk in chunker(capacity, overlap).chunks("doc", text)]


def test_a_short_text_is_one_passage() -> None:
    [chunk] = chunker().chunks("doc", "One short line.")
    assert (chunk.document_id, chunk.ordinal, chunk.text) == ("doc", 0, "One short line.")
    assert (chunk.start, chunk.end) == (0, 15)


def test_a_heading_stays_with_its_text() -> None:
    found = texts(GUIDE)
    assert any(text.startswith("## First steps") and "Install it." in text for text in found)
    assert any(text.startswith("## Второй раздел") and "описано" in text for text in found)


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


CUTS = (st.integers(1, 15), st.integers(0, 10))


@settings(max_examples=150, deadline=None)
@example("\x1f", 1, 0)  # Python takes this for a blank, Markdown does not
@given(MARKDOWN, *CUTS)
def test_any_text_is_cut_into_spans_of_itself(text: str, capacity: int, overlap: int) -> None:
    chunks = chunker(capacity, overlap).chunks("doc", text)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert all(chunk.text.strip() == chunk.text != "" for chunk in chunks)
    assert all(words(chunk.text) <= capacity for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)


@settings(max_examples=150, deadline=None)
@example("# A\n\u2028# A\nслово ", 2, 1)  # a part of blanks alone
@given(MARKDOWN, *CUTS)
def test_passages_go_on_and_share_no_more_than_the_overlap(text: str, capacity: int, overlap: int) -> None:
    for one, other in pairwise(chunker(capacity, overlap).chunks("doc", text)):
        assert one.start < other.start
        assert one.end < other.end
        assert words(text[other.start : max(one.end, other.start)]) <= overlap


@settings(max_examples=150, deadline=None)
@given(MARKDOWN, *CUTS)
def test_no_letter_of_any_text_is_lost(text: str, capacity: int, overlap: int) -> None:
    rest = list(text)
    for chunk in chunker(capacity, overlap).chunks("doc", text):
        rest[chunk.start : chunk.end] = " " * len(chunk.text)
    assert not "".join(rest).strip()


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=20).map(" ".join))
def test_no_word_of_any_text_is_cut(text: str) -> None:
    assert [term for piece in texts(text, 10) for term in terms(piece)] == terms(text)


@settings(max_examples=100, deadline=None)
@given(MARKDOWN, *CUTS)
def test_headings_are_few_short_and_have_no_signs(text: str, capacity: int, overlap: int) -> None:
    for chunk in chunker(capacity, overlap).chunks("doc", text):
        assert len(chunk.headings) <= 6
        assert all(heading and len(heading) <= 200 and heading == heading.strip() for heading in chunk.headings)


def headings(text: str, capacity: int = 4) -> dict[str, tuple[str, ...]]:
    """By the last word of each passage."""
    return {chunk.text.split()[-1]: chunk.headings for chunk in chunker(capacity).chunks("doc", text)}


def test_headings_are_those_above_the_start_outermost_first() -> None:
    text = (
        "# A\n\none two three.\n\n## B ##\n\nfour.\n\nfive six seven eight.\n\n# C\n\nnine.\n\nten eleven twelve nil."
    )
    assert headings(text) == {
        "A": (),
        "three.": ("A",),
        "four.": ("A",),
        "eight.": ("A", "B"),
        "nine.": (),
        "nil.": ("C",),
    }


def test_a_heading_without_its_parent_level_is_no_problem() -> None:
    text = "### Deep\n\na b.\n\nc d e f.\n\n# Top\n\ng h.\n\ni j k l."
    assert headings(text) == {"b.": (), "f.": ("Deep",), "h.": (), "l.": ("Top",)}


@pytest.mark.parametrize(
    "block", ["```\n# no\n```", "~~~~ python\n# no\n~~~\n# no\n~~~~", "    # no", "#no", "####### no"], ids=repr
)
def test_what_is_no_heading(block: str) -> None:
    assert headings(f"# Yes\n\n{block}\n\nsome words stand here.")["here."] == ("Yes",)


def test_a_fence_that_is_not_closed_holds_the_rest() -> None:
    assert headings("# Yes\n\n```\n# no\n\nsome words stand here.")["here."] == ("Yes",)


@pytest.mark.parametrize("line", ["Title\n=====", "Title\r\n---", "\f# Title", "\ufeff# Title", "# Title #"], ids=repr)
def test_ways_to_write_a_heading(line: str) -> None:
    assert headings(f"{line}\n\none.\n\nsome words stand here.")["here."] == ("Title",)


def test_a_long_heading_is_shortened() -> None:
    [path] = {headings(f"# {'x' * 300}\n\nsome words stand here.")["here."]}
    assert path == ("x" * 200,)


def test_a_title_is_not_alone_before_the_first_section() -> None:
    text = "# Title\n\n## Section\n\nOne two three four.\n\nFive six seven eight."
    assert texts(text, 9)[0].startswith("# Title\n\n## Section\n\nOne")


def test_pages() -> None:
    text = "One two.\fThree four.\fЁлка 🙂 six."
    pages = [0, text.index("Three"), text.index("Ёлка")]
    found = chunker(3).chunks("doc", text, pages)
    assert [(chunk.text, chunk.page) for chunk in found] == [("One two.", 1), ("Three four.", 2), ("Ёлка 🙂 six.", 3)]
    assert {chunk.page for chunk in chunker().chunks("doc", text)} == {None}


@pytest.mark.parametrize(
    "whole",
    [
        "А. С. Пушкин",
        "т. е. Москва",
        "г. Москва",
        "ул. Ленина",
        "стр. 5",
        "J. R. R. Tolkien",
        "Dr. Watson",
        "U.S. Army",
        "e.g. Paris",
        "рис. 3",
    ],
)
@pytest.mark.parametrize("before", range(1, 12))
def test_a_dot_that_ends_no_sentence_is_not_where_a_passage_ends(whole: str, before: int) -> None:
    rest = " и ещё много слов стоит дальше. Затем ещё одно такое же предложение."
    text = "Слова. " * before + whole + rest
    assert any(whole in piece for piece in texts(text))
    long = "слово " * before + whole + rest.replace(".", "")
    assert any(whole in piece for piece in texts(long))


def test_sentences_stay_whole_where_they_fit() -> None:
    text = "Раз два три. «Четыре пять шесть!» Семь восемь? Nine ten… Eleven twelve. 你好。再见！"
    assert texts(text, 4) == [
        "Раз два три.",
        "«Четыре пять шесть!»",
        "Семь восемь? Nine ten…",
        "Eleven twelve. 你好。再见！",
    ]


def test_rows_of_a_table_stay_whole() -> None:
    rows = [f"| row {place} | some. Other words {place} |" for place in range(20)]
    text = "| name | value |\n|---|---|\n" + "\n".join(rows) + "\n\nThe end."
    found = texts(text, 24)
    assert found[0].startswith("| name | value |\n|---|---|\n| row 0")
    assert all(any(row in piece for piece in found) for row in rows)


def test_rows_without_the_first_bar_stay_whole() -> None:
    rows = [f"row {place} | some. Other words" for place in range(9)]
    found = texts("name | value\n--- | ---\n" + "\n".join(rows), 16)
    assert all(any(row in piece for piece in found) for row in rows)


def test_lines_of_code_stay_whole() -> None:
    lines = [f"x{place} = f(a. B, {place})  # why" for place in range(20)]
    found = texts("Some code:\n\n```python\n" + "\n".join(lines) + "\n```\n", 16)
    assert found[0].startswith("Some code:\n\n```python\nx0")
    assert found[-1].endswith("# why\n```")
    assert all(any(line in piece for piece in found) for line in lines)


def test_windows_line_ends() -> None:
    found = texts(GUIDE.replace("\n", "\r\n"))
    assert [piece.replace("\r\n", "\n") for piece in found] == texts(GUIDE)


def test_an_overlap_is_whole_sentences() -> None:
    text = "One two three. Four five. Six seven eight. Nine ten. Eleven twelve."
    assert texts(text, 8, 3) == [
        "One two three. Four five. Six seven eight.",
        "Six seven eight. Nine ten. Eleven twelve.",
    ]


def test_an_overlap_is_words_where_no_sentence_is_short_enough() -> None:
    text = "One two three four five. Six seven eight nine."
    assert texts(text, 6, 2) == ["One two three four five.", "four five. Six seven eight nine."]


def test_no_overlap_across_a_heading() -> None:
    text = "# A\n\nOne two. Three four.\n\n# B\n\nFive six. Seven eight."
    assert texts(text, 7, 3) == ["# A\n\nOne two. Three four.", "# B\n\nFive six. Seven eight."]


def letters(text: str) -> int:
    return sum(not character.isspace() for character in text)


def test_the_length_is_told_from_the_words_where_the_model_does_not_speak_the_language() -> None:
    text = "Здесь стоит предложение из шести слов. " * 20
    english, any_language = Chunker(letters, 40, languages=("en",)), Chunker(letters, 40)
    assert [len(chunk.text.split()) for chunk in english.chunks("doc", text)] == [30, 30, 30, 30]
    assert all(letters(chunk.text) <= 40 for chunk in any_language.chunks("doc", text))
    assert english.chunks("doc", text, None, "en") == any_language.chunks("doc", text)
    assert english.chunks("doc", text, language="ru") == english.chunks("doc", text)


def test_the_estimate_counts_words_and_the_letters_of_writing_without_blanks() -> None:
    assert estimated_tokens("десять слов " * 5) == 13
    assert estimated_tokens("漢字かな") == 6
    assert estimated_tokens("") == 0


def test_the_recipe_changes_with_what_changes_the_cuts() -> None:
    def recipe(capacity: int = 9, overlap: int = 0, languages: tuple[str, ...] = (), name: str = "m") -> str:
        return Chunker(words, capacity, overlap, languages, name).recipe

    assert recipe(languages=("en", "ru")) == recipe(languages=("ru", "en"))
    assert len({recipe(), recipe(8), recipe(overlap=2), recipe(languages=("en",)), recipe(name="n")}) == 5


@pytest.mark.parametrize(
    "text",
    [
        "QUJD/+" * 50_000,
        "." * 300_000,
        "a" + " " * 300_000 + "b",
        "a" + "\n" * 300_000 + "b",
        "#" * 300_000,
        "#" + " #" * 150_000,
        "# " + " " * 300_000 + "x",
        "`" * 300_000,
        "|" * 300_000,
        "-|" * 150_000,
        "А. " * 100_000,
        "# a\n" * 50_000,
        "a:\n" * 100_000,
        "e" + "\u0301" * 300_000,
        "漢字です。" * 60_000,
        "\x1f" * 300_000,
    ],
    ids=lambda text: repr(text[:6]),
)
def test_strange_texts_are_cut_too(text: str) -> None:
    chunks = chunker(100, 10).chunks("doc", text)
    assert all(len(chunk.text) <= 100 * CHARACTERS_PER_TOKEN for chunk in chunks)
    assert sum(len("".join(chunk.text.split())) for chunk in chunks) >= len("".join(text.split()))


def test_a_cut_in_a_long_word_parts_no_character() -> None:
    for text in ("e\u0301" * 500, "👩‍👩‍👧" * 200, "👍🏽" * 300):
        assert all(piece[0] == text[0] for piece in texts(text, 3))

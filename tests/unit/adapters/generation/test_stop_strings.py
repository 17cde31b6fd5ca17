"""A text ends before the first stop string, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answerbox.adapters.generation.stop_strings import StopStrings


def shown(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    watch = StopStrings(stops)
    text = "".join(watch.add(piece) for piece in pieces)
    return text + ("" if watch.hit else watch.rest()), watch.hit


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["one two"], [], ("one two", False)),
        (["one two"], ["three"], ("one two", False)),
        (["one two"], ["two"], ("one ", True)),
        (["one t", "w", "o three"], ["two"], ("one ", True)),
        (["one tw", "in"], ["two"], ("one twin", False)),
        (["aab"], ["ab"], ("a", True)),
        (["a", "a", "b"], ["ab"], ("a", True)),
        (["x\n", "\ny"], ["\n\n"], ("x", True)),
        (["end t"], ["two"], ("end t", False)),
        (["раз, дв", "а"], ["два"], ("раз, ", True)),
        (["b then a"], ["a", "b"], ("", True)),
    ],
)
def test_a_text_and_its_end(pieces: list[str], stops: list[str], expected: tuple[str, bool]) -> None:
    assert shown(pieces, stops) == expected


def test_what_cannot_be_a_stop_string_any_more_is_shown_at_once() -> None:
    watch = StopStrings(["###"])
    assert [watch.add("a#"), watch.add("b"), watch.add("##"), watch.add("c")] == ["a", "#b", "", "##c"]


def test_nothing_is_shown_after_the_end() -> None:
    watch = StopStrings(["x"])
    assert (watch.add("ax"), watch.add("more"), watch.rest()) == ("a", "", "")


@given(st.lists(st.text("ab", max_size=4), max_size=8), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_the_pieces_do_not_matter(pieces: list[str], stops: list[str]) -> None:
    text = "".join(pieces)
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    found, hit = shown(pieces, stops)
    assert hit == bool(places)
    assert text.startswith(found)
    assert not any(stop in found for stop in stops)

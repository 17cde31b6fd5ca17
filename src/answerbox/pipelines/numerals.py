"""Numbers in a text, however they are written: 1,000 is 1000 is 1 000, 1.5 is 1,5, and two is 2."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_SPACED = re.compile(r"(?<!\d)(?<!\d[.,])\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:[.,]\d+)?(?![.,]?\d)")
_SPACE = re.compile(r"[ \u00a0\u202f]")
_WORD = re.compile(r"[^\W\d_]+")

# "One" and "один" are too often no numbers.
_SPELLED = {
    "2": "two два две двух двум двумя",
    "3": "three три трех трем тремя",
    "4": "four четыре четырех четырем четырьмя",
    "5": "five пять пяти пятью",
    "6": "six шесть шести шестью",
    "7": "seven семь семи семью",
    "8": "eight восемь восьми восемью",
    "9": "nine девять девяти девятью",
    "10": "ten десять десяти десятью",
    "11": "eleven одиннадцать одиннадцати",
    "12": "twelve двенадцать двенадцати",
}
_DIGITS_OF = {word: digits for digits, words in _SPELLED.items() for word in words.split()}


def in_digits(text: str) -> str:
    """The text with small number words as digits."""
    return _WORD.sub(lambda word: _DIGITS_OF.get(word[0].lower().replace("ё", "е"), word[0]), text)


def numbers_borne(answer: str, evidence: str) -> bool:
    """Whether every number of the answer stands in the evidence."""
    known = {reading for number in _numbers(evidence) for reading in _readings(number)}

    def borne(number: re.Match[str]) -> bool:
        return not known.isdisjoint(_readings(number[0]))

    # Two numbers side by side look like one with a space in it.
    rest = _SPACED.sub(lambda number: "" if borne(number) else number[0], answer)
    return all(map(borne, _DIGITS.finditer(rest)))


def _numbers(text: str) -> Iterator[str]:
    for pattern in (_SPACED, _DIGITS):
        for number in pattern.finditer(text):
            yield number[0]


def _readings(number: str) -> set[str]:
    """A point or a comma parts thousands, or begins a fraction."""
    number = _SPACE.sub("", number)
    first, *groups = re.split(r"\D", number)
    thousands = {first + "".join(groups)} if all(len(group) == 3 for group in groups) else set()
    return thousands | {number.replace(",", ".")}

"""Words, stems, sentences and the script of a text. Pure; English and Russian are stemmed, others are not."""

from __future__ import annotations

import re
from functools import lru_cache

import Stemmer

_WORD = re.compile(r"[^\W_]+")
_CYRILLIC = re.compile(r"[а-яёА-ЯЁ]")
_LATIN = re.compile(r"[A-Za-z]")
_SENTENCE_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][»\"')\]]))\s+(?=[«\"'(\[]?[A-ZА-ЯЁ0-9])")
_LINE = re.compile(r"[^\n]*(?:\n|$)")
_HEADING = re.compile(r"\s*#{1,6}\s")
# Arabic, Indic and their neighbours; emoji.
_JOINED = r"\u0590-\u1cff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_PICTURES = r"0-9#*\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff"
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    rf"|(?<![{_JOINED}])[\u200c\u200d]|(?<![{_PICTURES}])\ufe0f"
)
_ITEM = re.compile(r"\s*(?:[-*+|>]|\d{1,3}[.)]\s|```|~~~)")

# Words that carry a question's grammar rather than its subject.
_STOP_EN = (
    "a an the of in on at to for from by with and or is are was were be been do does did has have had "
    "what which who whom whose when where why how many much that this these those it its as not no can could "
    "will would should may i you he she we they me my your his her their our there about into than then"
)
_STOP_RU = (
    "и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее мне было вот от "
    "меня еще нет о из ему теперь когда даже ну ли если уже или ни быть был него до вас нибудь опять "
    "вам ведь там потом себя ничего ей может они тут где есть надо ней для мы тебя их чем была сам чтоб без будто "
    "чего раз тоже себе под будет ж тогда кто этот того потому этого какой какая какое какие каком каких сколько "
    "почему зачем это эта эти мной моя мой при об чему кого кому чей чья"
)
STOP_WORDS = frozenset((_STOP_EN + " " + _STOP_RU).split())


def language_of(text: str) -> str | None:
    """`ru` or `en` by the script that most letters belong to; None where there are no such letters."""
    cyrillic, latin = len(_CYRILLIC.findall(text)), len(_LATIN.findall(text))
    if cyrillic == latin == 0:
        return None
    return "ru" if cyrillic > latin else "en"


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """Snowball stem of one lower-case word, by its script."""
    if _CYRILLIC.search(word):
        return str(_stemmer("russian").stemWord(word.replace("ё", "е")))
    return str(_stemmer("english").stemWord(word))


def terms(text: str) -> list[str]:
    """The stems of all words, in order; what the lexical index holds."""
    return [stem(word) for word in _WORD.findall(text.lower())]


BEGINNING = 5
"""Letters: Russian stems of one word still differ in their ends where a vowel of the root comes and goes."""


def beginning(stem: str) -> str:
    return stem[:BEGINNING]


def content_terms(text: str) -> list[str]:
    """The stems of the words that carry the meaning, each once, in order of first use.

    Falls back to all words where nothing else is left ("Who is who?").
    """
    words = _WORD.findall(text.lower())
    kept = [word for word in words if word.replace("ё", "е") not in STOP_WORDS] or words
    return list(dict.fromkeys(stem(word) for word in kept))


def content_pairs(text: str) -> list[tuple[str, str]]:
    """The stems of neighbouring words, but for two that both carry only grammar."""
    words = _WORD.findall(text.lower())
    grammar = [word.replace("ё", "е") in STOP_WORDS for word in words]
    return [
        (stem(words[place]), stem(words[place + 1]))
        for place in range(len(words) - 1)
        if not (grammar[place] and grammar[place + 1])
    ]


def visible(text: str) -> str:
    """The text as a reader sees it: without characters that have no width, turn its direction or only tag others.

    A joiner stays where a script or an emoji needs it.
    """
    return _INVISIBLE.sub("", text)


def is_heading(text: str) -> bool:
    """Whether a sentence is a Markdown heading."""
    return bool(_HEADING.match(text))


def sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence starts and ends; blank ones are left out.

    A line break alone ends no sentence, for texts are wrapped; a blank line, a heading and a new item of a list or
    a table do.
    """
    spans = []
    for first, last in _blocks(text):
        start = first
        for gap in [*_SENTENCE_END.finditer(text, first, last), None]:
            end = gap.start() if gap else last
            piece = text[start:end]
            if piece.strip():
                spans.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
            start = gap.end() if gap else end
    return spans


def _blocks(text: str) -> list[tuple[int, int]]:
    """Runs of lines that belong together: paragraphs, headings, items."""
    blocks: list[tuple[int, int]] = []
    open_ = False
    for line in _LINE.finditer(text):
        whole = line[0]
        joins = open_ and not _HEADING.match(whole) and not _ITEM.match(whole)
        if joins:
            blocks[-1] = (blocks[-1][0], line.end())
        elif whole.strip():
            blocks.append(line.span())
        open_ = bool(whole.strip()) and not _HEADING.match(whole)
    return blocks


# A Stemmer object is not safe to share between threads; `lru_cache` above serves most calls.
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)

"""Cutting a text into passages along its structure.

A text is taken apart into atoms: headings, lines of tables and code, sentences, words where a sentence is too long.
An atom's rank says how good a cut before it is. Passages are runs of atoms. All is linear in the length of the text.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import accumulate, pairwise
from typing import NamedTuple

from answerbox.ports import Chunk
from answerbox.text import language_of

Measure = Callable[[str], int]
"""Length of a text in tokens of the embedding model."""

VERSION = 2
TOKENS_PER_WORD = 1.3
"""Of English in MiniLM's word pieces; stands in for a model's tokens where it does not speak the language."""
CHARACTERS_PER_TOKEN = 16
"""More are never counted as one token: to many models a word of a megabyte is one unknown token."""
LEAST_FILL = 0.5
"""A passage emptier than this does not end at a paragraph or an item: sentences of the next are added."""
SLICE = 64  # characters of a word that is too long for a passage
SAMPLE = 100_000  # characters that tell a document's language
MAX_HEADING = 200

_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_HEADING = re.compile(r"[ \f\ufeff]{0,3}(#{1,6})(?:[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(?:(={3,})|-{3,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)$")
_ITEM = re.compile(r"[ \t]*(?:[-*+>]|\d{1,9}[.)])(?:[ \t]|$)")
_ROW = re.compile(r"[ \t]*\|")
_DELIMITERS, _TABLE = frozenset("|:- \t"), ("row", "delimiter")
_SENTENCE = re.compile(
    r"(?<![.!?…؟])([.!?…؟]++)[»”\"')\]*_]{0,3}(\s++)[«“„\"'(\[*_—–-]{0,2} ?"
    r"|(?<![。！？।])[。！？।]++[」』”）]{0,3}\s*+"
)
_WORD = re.compile(r"\S+\s*|\s+")
_BEFORE_DOT = re.compile(r"[^\W\d_]+(?:[.-][^\W\d_]+)*$")
_COUNTED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_JOINING = frozenset("\u200d\ufe0e\ufe0f") | {chr(code) for code in range(0x1F3FB, 0x1F400)}

_SHORT = (
    "гг вв см рис стр ул им акад проф доц др пр тыс млн млрд руб коп св оз гл ст пп табл ред изд напр тов кв корп обл "
    "пос пер род ум нач сер англ лат греч фр нем рус укр долл шт чел мин сек ср соч "
    "mr mrs ms dr prof st jr sr vs etc fig figs no nos vol pp cf inc ltd co corp gen col lt sgt capt rep sen gov "
    "approx ca al ed eds ch sec eq rev hon dept est"
)
ABBREVIATIONS = frozenset(_SHORT.split())


class Rank(IntEnum):
    """How good a cut is before an atom, best first; 1 to 6 are headings of that level."""

    HEADING = 6
    BLOCK = 7
    ITEM = 8
    SENTENCE = 9
    LINE = 10
    WORD = 11
    GLUED = 12
    CHARACTER = 13


class Heading(NamedTuple):
    start: int
    level: int
    title: str


class Block(NamedTuple):
    """Lines that belong together, up to the next block. Only prose is cut at sentences."""

    start: int
    rank: int
    prose: bool = True


class Atom(NamedTuple):
    """Goes on to the start of the next one, so the blanks after it are its own."""

    start: int
    end: int
    rank: int
    tokens: int


class Chunker:
    """Passages of at most `capacity` tokens, cut at headings, paragraphs, items, sentences, words, in that order.

    A heading stays with its text. Up to `overlap` tokens of a passage, whole sentences where one is short enough, are
    also in the next one, but not across a heading. `languages` are those that the model of `measure` speaks, none for
    any; in its tokens another language would be letters, so there the length is told from the words. `name` is the
    measure's, for the recipe. Chunk ids are hashes of document id, place and text: the same document, the same ids.
    """

    def __init__(
        self, measure: Measure, capacity: int, overlap: int = 0, languages: Sequence[str] = (), name: str = "words"
    ) -> None:
        self._measure = measure
        self._capacity = capacity
        self._overlap = min(overlap, capacity // 2)
        self._languages = tuple(languages)
        self._name = name

    @property
    def recipe(self) -> str:
        """Another one means that the same document would be cut otherwise."""
        return f"{VERSION}/{self._capacity}/{self._overlap}/{self._name}/{','.join(sorted(self._languages))}"

    def chunks(
        self, document_id: str, text: str, pages: Sequence[int] | None = None, language: str | None = None
    ) -> list[Chunk]:
        """`pages` are the places in the text where the pages start."""
        outline = _outline(text)
        length = self._length(text, language)
        atoms = list(_atoms(text, outline.blocks, length, self._capacity))
        path = _Path(outline.headings)
        found: list[Chunk] = []
        for start, end in _Packing(text, atoms, length, self._capacity, self._overlap).spans():
            ordinal, piece = len(found), text[start:end]
            id_, page = chunk_id(document_id, ordinal, piece), max(1, bisect_right(pages, start)) if pages else None
            found.append(Chunk(id_, document_id, ordinal, piece, start, end, path.above(start), page))
        return found

    def _length(self, text: str, language: str | None) -> Measure:
        spoken = language or language_of(text[:SAMPLE])
        foreign = bool(self._languages) and spoken is not None and spoken not in self._languages
        measure = estimated_tokens if foreign else self._measure
        return lambda piece: max(measure(piece), _least(piece))


def chunk_id(document_id: str, ordinal: int, text: str) -> str:
    return hashlib.sha256(f"{document_id}\0{ordinal}\0{text}".encode()).hexdigest()[:32]


def estimated_tokens(text: str) -> int:
    """As many as an English text of so many words has; a character is a word where words have no blanks between."""
    return math.ceil(len(_COUNTED.findall(text)) * TOKENS_PER_WORD)


def _least(piece: str) -> int:
    return math.ceil(len(piece) / CHARACTERS_PER_TOKEN)


@dataclass
class _Outline:
    """The blocks and headings of the lines read so far."""

    blocks: list[Block] = field(default_factory=list)
    headings: list[Heading] = field(default_factory=list)
    fence: str = ""
    blank: bool = True
    last: str = ""
    leads: bool = False
    """The last line that is not blank ends with a colon, so what follows belongs to it."""

    def read(self, start: int, line: str, following: str) -> None:
        if not line.strip():
            self.blank = True
            return
        if self.last == "underlined":
            self.last = "heading"
        elif self.fence:
            self._code(start, line)
        elif fence := _FENCE.match(line):
            self.fence = fence[1]
            self._open(start, Rank.ITEM, "fence", prose=False)
        elif heading := _HEADING.match(line):
            self._heading(start + heading.start(1), len(heading[1]), line[heading.end(1) :])
        elif self.blank and _UNDERLINE.match(following) and not _ITEM.match(line):
            self._heading(start, 1 if "=" in following else 2, line)
            self.last = "underlined"
        elif _ROW.match(line) or _is_delimiter(line) or ("|" in line and self.last in _TABLE):
            self._row(start, line)
        elif self.blank or self.last != "prose" or _ITEM.match(line):
            self._open(start, Rank.ITEM, "prose")
        self.leads, self.blank = not self.fence and line.rstrip().endswith(":"), False

    def _open(self, start: int, rank: int, kind: str, prose: bool = True, glued: bool = False) -> None:
        if glued or self.last == "heading" or (self.leads and rank > Rank.HEADING):
            rank = Rank.GLUED
        elif self.blank and rank > Rank.BLOCK:
            rank = Rank.BLOCK if kind != "code" else Rank.ITEM
        self.blocks.append(Block(start, rank, prose))
        self.last = kind

    def _heading(self, start: int, level: int, title: str) -> None:
        words = title.split()
        bare = words[:-1] if words and not words[-1].strip("#") else words
        self.headings.append(Heading(start, level, " ".join(bare)[:MAX_HEADING].rstrip()))
        self._open(start, level, "heading", prose=False)

    def _code(self, start: int, line: str) -> None:
        fence = _FENCE.match(line)
        closes = bool(fence and fence[1].startswith(self.fence) and not fence[2].strip())
        self._open(start, Rank.LINE, "code", prose=False, glued=closes or self.last == "fence")
        if closes:
            self.fence, self.last = "", "closed"

    def _row(self, start: int, line: str) -> None:
        delimiter = _is_delimiter(line)
        glued = delimiter or self.last == "delimiter"
        self._open(start, Rank.ITEM, "delimiter" if delimiter else "row", False, glued and not self.blank)


def _is_delimiter(line: str) -> bool:
    """The row of dashes; where rows lack the first bar, it alone tells them from prose."""
    return "|" in line and "-" in line and _DELIMITERS.issuperset(line)


def _outline(text: str) -> _Outline:
    outline = _Outline()
    lines = [(line.start(), line[0].rstrip("\r\n")) for line in _LINE.finditer(text)]
    for place, (start, line) in enumerate(lines):
        outline.read(start, line, lines[place + 1][1] if place + 1 < len(lines) else "")
    return outline


def _atoms(text: str, blocks: list[Block], length: Measure, capacity: int) -> Iterator[Atom]:
    for block, following in pairwise([*blocks, Block(len(text), 0)]):
        end = following.start
        starts = [block.start, *(_sentence_starts(text, block.start, end) if block.prose else ())]
        for first, last in pairwise([*starts, end]):
            rank = block.rank if first == block.start else Rank.SENTENCE
            atom = _atom(text, first, last, rank, length, capacity)
            yield from [atom] if atom.tokens <= capacity else _words(text, atom, length, capacity)


def _atom(text: str, start: int, end: int, rank: int, length: Measure, capacity: int) -> Atom:
    blanks = min(capacity, _least(text[start:end]))  # they count where text follows in the same passage
    return Atom(start, end, rank, max(blanks, length(text[start:end].strip())))


def _sentence_starts(text: str, start: int, end: int) -> Iterator[int]:
    for gap in _SENTENCE.finditer(text, start, end):
        if gap[1] is None:
            if gap.end() < end:
                yield gap.end()
        elif gap.end() < end and not text[gap.end()].islower() and not _goes_on(text, start, gap):
            yield gap.end(2)


def _goes_on(text: str, start: int, gap: re.Match[str]) -> bool:
    """Whether the dot belongs to an abbreviation, an initial or the number of an item."""
    marker = _ITEM.fullmatch(text, start, gap.end(1))
    return gap[1] == "." and (bool(marker) or is_abbreviation(text[max(start, gap.start() - 16) : gap.start()]))


def is_abbreviation(before_dot: str) -> bool:
    """Whether a dot after this text ends an abbreviation (`т. е.`, `U.S.`) or an initial rather than a sentence."""
    found = _BEFORE_DOT.search(before_dot)
    word = found[0].lower() if found else ""
    return len(word) == 1 or "." in word or word in ABBREVIATIONS


def _words(text: str, atom: Atom, length: Measure, capacity: int) -> Iterator[Atom]:
    """The atoms of an atom that is too long for a passage."""
    former = ""
    for word in _WORD.finditer(text, atom.start, atom.end):
        rank = _rank_after(former) if former else atom.rank
        one = _atom(text, word.start(), word.end(), rank, length, capacity)
        yield from [one] if one.tokens <= capacity else _slices(text, one, length, capacity)
        former = word[0]


def _rank_after(word: str) -> int:
    if "\n" in word or "\r" in word:
        return Rank.LINE
    bare = word.rstrip()
    return Rank.GLUED if bare.endswith(".") and is_abbreviation(bare[-17:-1]) else Rank.WORD


def _slices(text: str, atom: Atom, length: Measure, capacity: int) -> Iterator[Atom]:
    start, rank = atom.start, atom.rank
    while start < atom.end:
        end = _whole_character(text, start, min(start + SLICE, atom.end))
        while end > start + 1 and length(text[start:end].strip()) > capacity:
            end = _whole_character(text, start, start + (end - start) // 2)
        yield _atom(text, start, end, rank, length, capacity)
        start, rank = end, Rank.CHARACTER


def _whole_character(text: str, start: int, end: int) -> int:
    """The last place up to `end` that parts no accent from its letter and no person from an emoji's family."""
    for place in range(end, start, -1):
        after = text[place : place + 1]
        if not (text[place - 1] == "\u200d" or after in _JOINING or (after and unicodedata.combining(after))):
            return place
    return end


@dataclass
class _Packing:
    """Which atoms share a passage."""

    text: str
    atoms: list[Atom]
    length: Measure
    capacity: int
    overlap: int

    def __post_init__(self) -> None:
        self._sums = [0, *accumulate(atom.tokens for atom in self.atoms)]

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where each passage starts and ends, blanks around it left out."""
        place, former = 0, -1
        while place < len(self.atoms):
            start, room = self._start(place, former)
            cut = self._cut(place, room)
            while cut > place + 1 and self.length(self._span(start, cut)) > self.capacity:
                cut -= 1
            if self.length(self._span(start, cut)) > self.capacity:
                start = self.atoms[place].start
            if self._span(self.atoms[place].start, cut) and (piece := self._span(start, cut)):  # not overlap alone
                former = self.text.index(piece[0], start)
                yield former, former + len(piece)
            place = cut

    def _span(self, start: int, cut: int) -> str:
        return self.text[start : self.atoms[cut - 1].end].strip()

    def _cut(self, place: int, room: int) -> int:
        """The atom before which a passage that starts at `place` ends."""
        last = max(place + 1, bisect_right(self._sums, self._sums[place] + room) - 1)
        if last >= len(self.atoms):
            return len(self.atoms)
        full = self._sums[place] + room * LEAST_FILL
        return min(range(place + 1, last + 1), key=lambda cut: (self._worth(cut, full), -cut))

    def _worth(self, cut: int, full: float) -> int:
        rank = self.atoms[cut].rank
        early = Rank.HEADING < rank < Rank.SENTENCE and self._sums[cut] < full
        return Rank.SENTENCE if early else rank

    def _start(self, place: int, former: int) -> tuple[int, int]:
        """Where the passage of that atom starts, and how many tokens may follow the overlap."""
        atom = self.atoms[place]
        start = self._overlapping(place, former) if self.overlap and place else atom.start
        shared = self.length(self.text[start : atom.start].strip()) if start < atom.start else 0
        if not 0 < shared <= self.overlap or shared + atom.tokens > self.capacity:
            return atom.start, self.capacity
        return start, self.capacity - shared

    def _overlapping(self, place: int, former: int) -> int:
        """Where the last sentences before that atom start, else the last words."""
        atoms, sums = self.atoms, self._sums
        whole = part = own = atoms[place].start
        if atoms[place].rank <= Rank.HEADING:
            return own
        for earlier in range(place - 1, -1, -1):
            if sums[place] - sums[earlier] > self.overlap or atoms[earlier].start <= former:
                break
            part = atoms[earlier].start
            if atoms[earlier].rank <= Rank.SENTENCE:
                whole = part
            if atoms[earlier].rank <= Rank.HEADING:
                break
        start = whole if whole < own else part
        return start if start < own else self._last_words(atoms[place - 1], former)

    def _last_words(self, atom: Atom, former: int) -> int:
        start, tokens = atom.end, 0
        for word in reversed(list(_WORD.finditer(self.text, max(atom.start, former + 1), atom.end))[1:]):
            tokens += self.length(word[0].strip())
            if tokens > self.overlap:
                break
            start = word.start()
        return start


class _Path:
    """The headings above a place."""

    def __init__(self, headings: list[Heading]) -> None:
        self._starts = [heading.start for heading in headings]
        self._headings = headings
        self._paths: list[tuple[Heading, ...]] = [()]
        for heading in headings:
            self._paths.append((*_outer(self._paths[-1], heading.level), heading))

    def above(self, start: int) -> tuple[str, ...]:
        place = bisect_left(self._starts, start)
        level = self._headings[place].level if start in self._starts[place : place + 1] else 7
        return tuple(heading.title for heading in _outer(self._paths[place], level) if heading.title)


def _outer(path: tuple[Heading, ...], level: int) -> tuple[Heading, ...]:
    return tuple(heading for heading in path if heading.level < level)

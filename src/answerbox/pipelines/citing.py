"""Which sentence of which source bears a piece of an answer, and the marks that say so: ` [1]`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from answerbox.contracts import Citation, Source
from answerbox.pipelines.evidence import Quote, Teller, tellers_of
from answerbox.pipelines.material import shown
from answerbox.text import content_terms, sentences, terms

SUPPORT = 0.5
"""Share of a piece's content words that must stand in a source for the source to bear it."""

_MARKER = re.compile(r"\[(\d{1,2}(?:\s*,\s*\d{1,2})*)\]")
_SPACE_AND_MARKER = re.compile(r"[^\S\n]*" + _MARKER.pattern)
_LIST_NUMBER = re.compile(r"\d{1,2}[.)]")


@dataclass(frozen=True)
class Piece:
    """A sentence of an answer, without marks at its end, and the sources that its marks name."""

    start: int
    end: int
    text: str
    named: tuple[int, ...]


def without_markers(text: str) -> str:
    return _SPACE_AND_MARKER.sub("", text)


def quoted_answer(quotes: Sequence[Quote]) -> tuple[str, list[Citation]]:
    """The sentences, each with its mark: word for word, but for what no reader sees, what loads or leads away, and
    marks of their own, which would be taken for ours."""
    answer = ""
    citations = []
    for one in quotes:
        text = without_markers(shown(one.text)) or one.text
        start = len(answer) + bool(answer)
        end = start + len(text)
        answer = f"{answer} {text} [{one.source}]" if answer else f"{text} [{one.source}]"
        citations.append(_citation(one, start, end, verbatim=text == one.text))
    return answer, citations


def cite(answer: str, sources: Sequence[Source], question: str = "") -> list[Citation]:
    """For each sentence of the answer the sources that it names, else the one that shares most words with it."""
    return [
        _citation(quote, piece.start, piece.end, verbatim=piece.text == quote.text)
        for piece in pieces(answer)
        for quote in _bearers(piece, sources, question)
    ]


def mark(answer: str, sources: Sequence[Source], question: str = "") -> str:
    """The answer with a mark after each sentence; marks that it had, of a model that was told no numbers, go."""
    answer = without_markers(answer)
    for piece in reversed(pieces(answer)):
        if quote := _bearer(piece.text, sources, question, least=0.0):
            answer = f"{answer[: piece.end]} [{quote.source}]{answer[piece.end :]}"
    return answer


def pieces(answer: str) -> list[Piece]:
    """The sentences that say something. A mark belongs to the sentence before it, unless the answer opens with one."""
    plain = _MARKER.sub(lambda marker: " " * len(marker[0]), answer)
    spans = sentences(plain)
    if len(spans) > 1:
        spans = [(start, end) for start, end in spans if not _LIST_NUMBER.fullmatch(plain, start, end)]
    spans = [(start, end) for start, end in spans if terms(plain[start:end])]
    named = _named(answer, spans)
    return [
        Piece(start, end, without_markers(answer[start:end]), tuple(dict.fromkeys(numbers)))
        for (start, end), numbers in zip(spans, named, strict=True)
    ]


def _named(answer: str, spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The numbers of the marks of each span."""
    named: list[list[int]] = [[] for _ in spans]
    opens = bool(_MARKER.match(answer.lstrip()))
    for marker in _MARKER.finditer(answer):
        if opens:
            owner = next((n for n, (_, end) in enumerate(spans) if marker.start() < end), len(spans) - 1)
        else:
            owner = max((n for n, (start, _) in enumerate(spans) if start <= marker.start()), default=0)
        if spans:
            named[owner] += map(int, marker[1].split(","))
    return named


def _bearers(piece: Piece, sources: Sequence[Source], question: str) -> list[Quote]:
    valid = [place for place in piece.named if 1 <= place <= len(sources)]
    if valid:
        return [_sentence(piece.text, place, sources[place - 1], question) for place in valid]
    found = _bearer(piece.text, sources, question, SUPPORT)
    return [found] if found else []


def _bearer(text: str, sources: Sequence[Source], question: str, least: float) -> Quote | None:
    """A sentence of the source that has most of the words, where that is more than nothing and `least`."""
    wanted = content_terms(text)
    if not wanted or not sources:
        return None
    every = [_sentence(text, place, source, question) for place, source in enumerate(sources, start=1)]

    def fit(quote: Quote) -> tuple[float, float, float, int]:
        whole = _share(wanted, set(terms(sources[quote.source - 1].text)))
        own = set(terms(quote.text))
        return whole, _share(wanted, own), _share(content_terms(question), own), -quote.source

    best = max(every, key=fit)
    share = fit(best)[0]
    return best if share > 0 and share >= least else None


def _sentence(text: str, place: int, source: Source, question: str) -> Quote:
    """The sentence of the source that is nearest to the text; the whole source where none shares a word."""
    wanted, asked = content_terms(text), content_terms(question)

    def fit(teller: Teller) -> tuple[bool, float, float]:
        same = source.text[teller.start : teller.end] == text
        return same, _share(wanted, teller.stems), _share(asked, teller.stems)

    best = max(tellers_of(source.text), key=fit, default=None)
    if best is None or not fit(best)[1]:
        return Quote(place, 0, len(source.text), source.text)
    return Quote(place, best.start, best.end, source.text[best.start : best.end])


def _share(wanted: Sequence[str], having: frozenset[str] | set[str]) -> float:
    return sum(word in having for word in wanted) / (len(wanted) or 1)


def _citation(quote: Quote, start: int, end: int, verbatim: bool) -> Citation:
    return Citation(
        source=quote.source,
        start=start,
        end=end,
        source_start=quote.start,
        source_end=quote.end,
        verbatim=verbatim,
    )

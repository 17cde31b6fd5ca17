"""Which sentences of the sources bear on a question. Lexical: it needs no model and speaks English and Russian.

The weights were chosen on XQuAD's development half. What was tried and did not help: pairs of words, numbers for
"how many", names for "who", the length of a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from answerbox.contracts import Source
from answerbox.text import beginning, content_terms, is_heading, sentences, terms

RANK = 0.1
"""What each place in the list of sources costs, where a sentence with all words of the question has 1."""
NEIGHBOUR = 0.2
"""Share of the better neighbour's words that count for a sentence: its subject may be a pronoun."""


@dataclass(frozen=True)
class Quote:
    """A sentence at its exact place: `sources[source - 1].text[start:end]`."""

    source: int
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Teller:
    """A sentence that can be an answer, and the stems of its words and of the heading's above it."""

    start: int
    end: int
    stems: frozenset[str]


def quote(question: str, sources: Sequence[Source], count: int = 2) -> list[Quote]:
    """The sentences that answer best, in the order of the text."""
    return in_order(best_sentences(question, sources, count))


def in_order(quotes: Sequence[Quote]) -> list[Quote]:
    return sorted(quotes, key=lambda one: (one.source, one.start))


def best_sentences(question: str, sources: Sequence[Source], count: int) -> list[Quote]:
    """The `count` sentences that share most with the question, best first; what says the same comes once.

    A question's rare words count more (their inverse frequency in the candidate sentences). Words are compared
    by their first letters, because Russian stems of one word differ at their ends.
    """
    tellers = [(place, teller) for place, source in enumerate(sources, start=1) for teller in tellers_of(source.text)]
    shares = _shares(question, [teller for _, teller in tellers])

    def worth(number: int) -> tuple[float, int]:
        place = tellers[number][0]
        beside = [shares[n] for n in (number - 1, number + 1) if 0 <= n < len(tellers) and tellers[n][0] == place]
        return shares[number] + NEIGHBOUR * max(beside, default=0.0) - RANK * (place - 1), -number

    ranked = sorted(range(len(tellers)), key=worth, reverse=True)
    quotes = (_quote(sources, *tellers[number]) for number in ranked)
    return _distinct(quotes, count)


def tellers_of(text: str) -> list[Teller]:
    """Headings and questions tell nothing themselves; where there is nothing else, they are taken."""
    found = []
    every = sentences(text)
    heading: frozenset[str] = frozenset()
    for start, end in every:
        stems = frozenset(terms(text[start:end]))
        if is_heading(text[start:end]):
            heading = stems
        elif not text[start:end].endswith("?"):
            found.append(Teller(start, end, stems | heading))
    return found or [Teller(start, end, frozenset(terms(text[start:end]))) for start, end in every]


def _shares(question: str, tellers: Sequence[Teller]) -> list[float]:
    """How much of the question each sentence has, 0 to 1."""
    wanted = {beginning(term) for term in content_terms(question)}
    having = [{beginning(stem) for stem in teller.stems} for teller in tellers]
    weights = {word: _rarity(sum(word in words for words in having), len(having)) for word in wanted}
    total = sum(weights.values()) or 1.0
    return [sum(weights[word] for word in wanted & words) / total for words in having]


def _rarity(containing: int, count: int) -> float:
    return math.log(1 + (count - containing + 0.5) / (containing + 0.5))


def _quote(sources: Sequence[Source], place: int, teller: Teller) -> Quote:
    return Quote(place, teller.start, teller.end, sources[place - 1].text[teller.start : teller.end])


def _distinct(quotes: Iterator[Quote], count: int) -> list[Quote]:
    """Passages may overlap, so that one sentence stands in two of them."""
    chosen: list[Quote] = []
    for one in quotes:
        if len(chosen) == count:
            break
        if not any(one.text in other.text or other.text in one.text for other in chosen):
            chosen.append(one)
    return chosen

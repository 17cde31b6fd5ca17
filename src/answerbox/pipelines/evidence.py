"""Which sentences of the sources bear on a question. Lexical: it needs no model and speaks English and Russian.

The weights were chosen on XQuAD's development half. What was tried and did not help: pairs of words, numbers for
"how many", names for "who", the length of a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from answerbox.contracts import Source
from answerbox.pipelines.material import is_disguised, speaks_to_the_model, untrusted
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
    tellers = _of_all(sources, tellers_of) or _of_all(sources, _every_sentence)
    shares = _shares(question, [teller for _, teller in tellers])

    def worth(number: int) -> tuple[float, int]:
        place = tellers[number][0]
        beside = [shares[n] for n in (number - 1, number + 1) if 0 <= n < len(tellers) and tellers[n][0] == place]
        return shares[number] + NEIGHBOUR * max(beside, default=0.0) - RANK * (place - 1), -number

    ranked = sorted(range(len(tellers)), key=worth, reverse=True)
    quotes = (_quote(sources, *tellers[number]) for number in ranked)
    return _distinct(quotes, count)


def tellers_of(text: str) -> list[Teller]:
    """The sentences that can be evidence: none that is hidden, forged or speaks to the model.

    Headings and questions tell nothing themselves; where there is nothing else, they are taken.
    """
    found, spare = [], []
    heading: frozenset[str] = frozenset()
    for teller in _trusted(text):
        sentence = text[teller.start : teller.end]
        if is_heading(sentence):
            heading = teller.stems
        elif not sentence.endswith("?"):
            found.append(replace(teller, stems=teller.stems | heading))
        spare.append(teller)
    return found or spare


def _of_all(sources: Sequence[Source], tell: Callable[[str], list[Teller]]) -> list[tuple[int, Teller]]:
    return [(place, teller) for place, source in enumerate(sources, start=1) for teller in tell(source.text)]


def _every_sentence(text: str) -> list[Teller]:
    return [Teller(start, end, frozenset(terms(text[start:end]))) for start, end in sentences(text)]


def _trusted(text: str) -> list[Teller]:
    places = untrusted(text)
    return [
        one
        for one in _every_sentence(text)
        if not any(start < one.end and one.start < end for start, end in places)
        and not is_disguised(text[one.start : one.end])
        and not speaks_to_the_model(text[one.start : one.end])
    ]


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

"""Measures of one ranking and one answer, and what is known of many of them. Pure.

Texts are compared as SQuAD v1.1 does (Rajpurkar et al., EMNLP 2016): lower case, no punctuation, no articles, one
blank between words. What that means in other languages follows MLQA (Lewis et al., ACL 2020): punctuation is all of
Unicode's, and the articles are those of the language; Russian has none. Beyond both, Russian ё is е.
"""

from __future__ import annotations

import math
import re
import statistics
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

DEPTH = 10
RESAMPLES = 2_000
SEED = 20_160_616
CELLS = 1_000_000
"""Values drawn at a time, so that many questions do not take much memory."""

_ARTICLES = {"en": re.compile(r"\b(a|an|the)\b")}
_DIVIDER = re.compile(r"[-‐-―/'’]")


@dataclass(frozen=True)
class Interval:
    """Bounds within which a mean lies in 95 of 100 samples."""

    low: float
    high: float


def normalised(text: str, language: str) -> str:
    text = "".join(c for c in text.lower() if not _is_punctuation(c))
    if language == "ru":
        text = text.replace("ё", "е")
    if articles := _ARTICLES.get(language):
        text = articles.sub(" ", text)
    return " ".join(text.split())


def exact(answer: str, accepted: Sequence[str], language: str) -> bool:
    """Whether the answer is one of the accepted ones."""
    said = normalised(answer, language)
    return any(said == normalised(text, language) for text in accepted)


def f1(answer: str, accepted: Sequence[str], language: str) -> float:
    """Words in common with the accepted answer that is nearest: harmonic mean of precision and recall."""
    said = normalised(answer, language).split()
    return max((_f1(said, normalised(text, language).split()) for text in accepted), default=0.0)


def contains(answer: str, accepted: Sequence[str], language: str) -> bool:
    """Whether the words of an accepted answer stand in the answer, whole and in a row.

    A dash and an apostrophe divide words here: "1999–2003" contains "2003", and "Manning's" contains "Manning".
    """
    said = _words(answer, language)
    return any(wanted != "  " and wanted in said for wanted in (_words(text, language) for text in accepted))


def rank(found: Sequence[str], wanted: str) -> int:
    """Place of `wanted` among the different documents found, from 1; 0 where it is not among the first ten."""
    distinct = list(dict.fromkeys(found))[:DEPTH]
    return distinct.index(wanted) + 1 if wanted in distinct else 0


def hit(rank: int, within: int) -> float:
    return float(0 < rank <= within)


def reciprocal(rank: int) -> float:
    """Its mean is MRR@10."""
    return 1 / rank if rank else 0.0


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` of the values do not exceed; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def interval(values: Sequence[float], seed: int = SEED) -> Interval | None:
    """Of the mean, by the bootstrap; the same values give the same interval. None of nothing."""
    if not values:
        return None
    low, high = np.quantile(resampled_means(values, seed), [0.025, 0.975])
    return Interval(float(low), float(high))


def resampled_means(values: Sequence[float], seed: int = SEED) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Means of samples of the same size, drawn with replacement."""
    known = np.asarray(values, dtype=np.float64)
    draw = np.random.default_rng(seed)
    at_a_time = max(1, CELLS // len(known))
    sizes = [min(at_a_time, RESAMPLES - first) for first in range(0, RESAMPLES, at_a_time)]
    return np.concatenate([known[draw.integers(0, len(known), (size, len(known)))].mean(axis=1) for size in sizes])


@lru_cache(maxsize=10_000)
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _words(text: str, language: str) -> str:
    return f" {normalised(_DIVIDER.sub(' ', text), language)} "


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    if not common:
        return float(said == wanted)
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)

"""Whether a generated answer says only what its evidence bears: six checks, each by words and none by a model.

They do not see a wrong combination of right words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from answerbox.contracts import Check
from answerbox.pipelines.citing import without_markers
from answerbox.pipelines.material import leads_away
from answerbox.pipelines.numerals import in_digits, numbers_borne
from answerbox.text import STOP_WORDS, content_terms, language_of, sentences, stem, terms

TOLERANCE = 0.4
"""Share of a sentence's new words that the evidence may lack, for a model that can say it in its own words.
Of sentences about the same subject that three passages do not bear, 97 % lack more (XQuAD's development half)."""

_WORD = re.compile(r"[^\W_]+(?:-[^\W_]+)*")
_LIST_ITEM = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*+])\s+", re.MULTILINE)
_OPENS = re.compile(r"[:.!?…\n]\W*$")
_FLEETING = re.compile(r"[ео]([^аеиоуыэюя\W])$")
_ASSENT = frozenset(map(stem, ("yes", "да", "нет")))
_NEGATES = re.compile(
    r"\b(?:not|cannot|no|nothing|unable|не|нет|ничего|невозможно|отсутству\w+)\b|n['’]t\b", re.IGNORECASE
)
_MATERIAL = re.compile(
    r"\b(?:passages?|documents?|texts?|context|excerpts?|information|отрыв\w+|документ\w*|текст\w*|контекст\w*|"
    r"информаци\w+|сведени\w+)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Claim:
    """An answer that is to be checked. `strict`: every word must stand in the evidence."""

    answer: str
    question: str
    evidence: str
    strict: bool

    @cached_property
    def plain(self) -> str:
        """The answer without marks of citations and lists."""
        return in_digits(_LIST_ITEM.sub("", without_markers(self.answer)))

    @cached_property
    def known(self) -> str:
        return in_digits(f"{self.question}\n{self.evidence}")

    @cached_property
    def sentences(self) -> list[str]:
        return [self.plain[start:end] for start, end in sentences(self.plain)]

    @cached_property
    def asked(self) -> set[str]:
        return _roots(in_digits(self.question))

    @cached_property
    def borne(self) -> set[str]:
        return _roots(self.known)

    def bears(self, root: str) -> bool:
        return root in self.borne or any(_same_russian(root, other) for other in self.borne)

    def knows(self, word: str) -> bool:
        return all(map(self.bears, _roots(word)))

    def new_words(self, text: str) -> list[str]:
        """The roots of the content words that the question does not have; 's is none."""
        roots = [_root(term) for term in content_terms(text)]
        return [root for root in roots if root not in self.asked and (len(root) > 1 or root.isdigit())]


def failed_checks(answer: str, question: str, evidence: str, strict: bool) -> list[Check]:
    """The checks that the answer fails, none where the evidence bears it.

    `strict` is for models that cannot be trusted with words of their own. Another one may also say that the
    evidence does not tell.
    """
    claim = Claim(answer, question, evidence, strict)
    return [name for name, passes in _CHECKS.items() if not passes(claim)]


def whole_words(text: str) -> str:
    """A text that was cut anywhere, without the word that may be half a word."""
    last = re.search(r"\s\S*$", text)
    return text[: last.start()].rstrip() if last else ""


def _in_the_askers_script(claim: Claim) -> bool:
    """Names and numbers of the evidence have a script of their own."""
    rest = [word for word in _WORD.findall(claim.plain) if not (word != word.lower() and claim.knows(word))]
    said, asked = language_of(" ".join(rest)), language_of(claim.question)
    return said is None or asked is None or said == asked


def _numbers_are_borne(claim: Claim) -> bool:
    return numbers_borne(claim.plain, claim.known)


def _names_are_borne(claim: Claim) -> bool:
    return all(claim.knows(name) for sentence in claim.sentences for name in _names(sentence))


def _names(sentence: str) -> Iterator[str]:
    """Capitalised words, but for those that open a sentence."""
    for number, word in enumerate(_WORD.finditer(sentence)):
        opens = number == 0 or _OPENS.search(sentence[: word.start()])
        if word[0][0].isupper() and not opens and word[0].lower() not in STOP_WORDS:
            yield word[0]


def _links_are_borne(claim: Claim) -> bool:
    return not leads_away(claim.answer, f"{claim.question}\n{claim.evidence}")


def _words_are_borne(claim: Claim) -> bool:
    if claim.strict:
        return not _lacking(claim, claim.new_words(claim.plain))
    return all(_is_borne(claim, sentence) for sentence in claim.sentences if not _declines(sentence))


def _is_borne(claim: Claim, sentence: str) -> bool:
    new = [word for word in claim.new_words(sentence) if word not in _ASSENT]
    lacking = len(_lacking(claim, new))
    return lacking <= TOLERANCE * len(new) or 1 == lacking < len(new)


def _lacking(claim: Claim, roots: list[str]) -> list[str]:
    """Numbers have a check of their own."""
    return [root for root in roots if not claim.bears(root) and not any(char.isdigit() for char in root)]


def _says_something(claim: Claim) -> bool:
    if not claim.strict and any(_declines(sentence) for sentence in claim.sentences):
        return True
    return any(claim.new_words(sentence) for sentence in claim.sentences if not sentence.endswith("?"))


def _declines(sentence: str) -> bool:
    """Whether it says that the evidence does not tell."""
    return bool(_NEGATES.search(sentence) and _MATERIAL.search(sentence))


def _roots(text: str) -> set[str]:
    return {_root(term) for term in terms(text)}


def _root(term: str) -> str:
    """Павел and Павла have stems that differ by a vowel that comes and goes."""
    return _FLEETING.sub(r"\1", term)


def _same_russian(root: str, other: str) -> bool:
    """Гюстав and Гюстава have stems of which one is the other and a letter more."""
    shorter, longer = sorted((root, other), key=len)
    one_more = len(longer) - len(shorter) == 1 and len(shorter) >= 4 and longer.startswith(shorter)
    return one_more and language_of(shorter) == "ru"


_CHECKS: dict[Check, Callable[[Claim], bool]] = {
    "language": _in_the_askers_script,
    "numbers": _numbers_are_borne,
    "names": _names_are_borne,
    "links": _links_are_borne,
    "words": _words_are_borne,
    "nothing_new": _says_something,
}

"""Text that others wrote: how a model is given it, what of it can be evidence, and what of it an answer shows.

A fence is a pair of marks. No text inside can close or open one: what reads like a mark is escaped, and so is what chat
templates part their turns with. Escaping depends on the text alone, so that a request has the same prompt each time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import Literal

from answerbox.text import visible

Fence = Literal["passage", "context"]

_LOOKS_LIKE = {
    code: ord(plain)
    for code in chain(range(0xFF01, 0xFF5F), range(0x1D400, 0x1D800), range(0x2100, 0x2150), range(0x24B6, 0x24EA))
    if len(plain := unicodedata.normalize("NFKC", chr(code))) == 1 and plain.isascii()
} | str.maketrans("‹›〈〉⟨⟩﹤﹥⁄∕∣│", "<><><><>//||")

_STRUCTURE = re.compile(
    r"(?P<mark><(?=[\s/\\]*(?:passage|context)\b))"
    r"|(?P<turn><(?=\|[^\n<>]{1,40}\|>"
    r"|/?(?:s|bos|eos|unk|pad|start_of_turn|end_of_turn|tool_call|tool_response|function_calls|think)>"
    r"|<?/?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_CALLS|AVAILABLE_TOOLS|TOOL_RESULTS)\]))",
    re.IGNORECASE,
)
_FORGED = re.compile(
    r"<\s*/\s*(?:passage|context)\s*>"
    r"|<\|[^\n<>|]{1,40}\|>|<(?:start_of_turn|tool_call|function_calls)>|\[/?INST\]|<<SYS>>",
    re.IGNORECASE,
)
_ROLE = re.compile(r"^[\W_]*(?:SYSTEM|ASSISTANT|DEVELOPER|СИСТЕМА|АССИСТЕНТ)\s*:")
_OLDER = r"previous|prior|above|earlier|preceding|your|system"
_OLDER_RU = r"предыдущ\w+|прежн\w+|выше\w*|систем\w+|свои\w*"
_OVERRIDES = re.compile(
    rf"(?:\b(?:ignore|disregard)\b(?=[^.!?\n]{{0,50}}\b(?:all|any|{_OLDER})\b)"
    rf"|\b(?:forget|override|bypass)\b(?=[^.!?\n]{{0,50}}\b(?:{_OLDER})\b))"
    r"[^.!?\n]{0,40}\b(?:instructions?|prompts?|rules|directions?|guidelines)\b"
    rf"|(?:\b(?:про)?игнорируй\w*(?=[^.!?\n]{{0,50}}\b(?:все|всех|любые|{_OLDER_RU})\b)"
    rf"|\b(?:забудь\w*|отмени\w*|не обращай\w*)(?=[^.!?\n]{{0,50}}\b(?:{_OLDER_RU})\b))"
    r"[^.!?\n]{0,40}\b(?:указани\w+|инструкци\w+|правил\w*|промпт\w*)",
    re.IGNORECASE,
)
_DISGUISED = re.compile(
    r"[\u202d\u202e]|(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0001-\U000e007f]|(?:[^\W_][\u200b\u2060\ufeff]){3}"
)
_IMAGE = re.compile(
    r"!\[([^\]\n]{0,300})\](?:\([^)\n]{0,2000}\)|\[[^\]\n]{0,300}\])|<(?:img|iframe|picture|source)\b[^>]{0,2000}>?",
    re.IGNORECASE,
)
_LINK = re.compile(r"\[([^\]\n]{1,300})\]\([^)\n]{0,2000}\)")
_URL = re.compile(r"(?:\b[a-z][a-z0-9+.-]{0,20}:)?//[^\s<>\"'`)\]}»]+|\bwww\.[^\s<>\"'`)\]}»]+", re.IGNORECASE)
_SPACES = re.compile(r"(?<=\S) {2,}")


def fenced(fence: Fence, text: str, number: int | None = None) -> str:
    """The text between two marks, of which the first may have a number."""
    name = fence if number is None else f"{fence} [{number}]"
    return f"<{name}>\n{harmless(text)}\n</{fence}>"


def harmless(text: str) -> str:
    """The text as a model is given it: what a reader sees of it, without marks of fences and of turns."""
    seen = _seen(text)
    parts, last = [], 0
    for found in _STRUCTURE.finditer(_plain(seen)):
        place = found.start()
        parts += [seen[last:place], "&lt;" if found["mark"] else f"{seen[place]} "]
        last = place + 1
    return "".join([*parts, seen[last:]])


def shown(text: str) -> str:
    """A sentence of a document as an answer shows it: what a reader sees of it, and no markup that loads or leads away.

    Where nothing is left, the sentence as it is.
    """
    plain = _LINK.sub(r"\1", _IMAGE.sub(r"\1", _seen(text)))
    return text if plain == text else _SPACES.sub(" ", plain).strip() or text


def leads_away(answer: str, known: str) -> bool:
    """Whether the answer loads something, or has an address that does not stand in what is known."""
    return bool(_IMAGE.search(answer)) or any(url[0].rstrip(".,;:!?") not in known for url in _URL.finditer(answer))


def untrusted(text: str) -> list[tuple[int, int]]:
    """Places of a passage that no reader sees, or that pretend to be part of the conversation with the model.

    What comes after a forged mark is part of the forgery.
    """
    forged = _FORGED.search(_plain(text))
    return [*_comments(text), *([(forged.start(), len(text))] if forged else [])]


def is_disguised(sentence: str) -> bool:
    """Whether somebody took pains that a reader sees something else than a machine."""
    return not sentence.isascii() and bool(_DISGUISED.search(sentence))


def speaks_to_the_model(sentence: str) -> bool:
    """Whether it says that it does, in the words of most such texts; others pass."""
    seen = _plain(visible(sentence))
    return bool(_ROLE.search(seen) or _OVERRIDES.search(seen))


def _seen(text: str) -> str:
    text = visible(text)
    parts, last = [], 0
    for start, end in _comments(text):
        parts.append(text[last:start])
        last = end
    return "".join([*parts, text[last:]])


def _comments(text: str) -> Iterator[tuple[int, int]]:
    """HTML comments that are closed. Linear, which a regular expression would not be."""
    start = text.find("<!--")
    while start >= 0 and (end := text.find("-->", start)) >= 0:
        yield start, end + 3
        start = text.find("<!--", end)


def _plain(text: str) -> str:
    """Of the same length, with letters and signs that only look otherwise as ASCII."""
    return text if text.isascii() else text.translate(_LOOKS_LIKE)

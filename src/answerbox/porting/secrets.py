"""Keys and passwords in a text: found by how they look, or by what they are assigned to. Their value is never told."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator

KINDS = {
    "OpenAI or Anthropic key": r"\bsk-[A-Za-z0-9_-]{20,}",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{30,}",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "Langfuse key": r"\b[sp]k-lf-[0-9a-f-]{30,}",
    "Answerbox key": r"\bab_[A-Za-z0-9_-]{20,}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "password in an address": r"\b[a-z][a-z0-9+]*://[^\s:/@'\"]+:[^\s:/@'\"{}]{3,}@",
}
LOOKS = [(kind, re.compile(pattern)) for kind, pattern in KINDS.items()]
NAMED = re.compile(r"key|token|secret|passw|pwd|credential", re.IGNORECASE)
WORDS_OF_MODELS = re.compile(
    r"max_|_tokens?_?(?:id|limit|count)|tokens$|tokenizer|keywords?$|key_?(?:name|column|field)", re.I
)
PLACEHOLDER = re.compile(r"your|xxx|\.\.\.|change|example|placeholder|<|\{|dummy|none|test|todo", re.IGNORECASE)
SHORTEST, LONG = 8, 20
BITS = 3.0
"""Of a random text each character tells more than so much; words tell less."""


def in_text(text: str) -> Iterator[tuple[int, str]]:
    """The line (from 1) and the kind of each key in any text."""
    for line, content in enumerate(text.split("\n"), 1):
        for kind, pattern in LOOKS:
            if pattern.search(content):
                yield line, kind


def assigned(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and the name of each literal that is given to something called key, token, secret or password."""
    for node in ast.walk(tree):
        for name, value in _bindings(node):
            if NAMED.search(name) and not WORDS_OF_MODELS.search(name) and _is_secret(name, value):
                yield value.lineno, name


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.Assign(targets=targets, value=value):
            yield from ((_name(target), value) for target in targets)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            yield _name(target), value
        case ast.keyword(arg=str(name), value=value):
            yield name, value
        case ast.Dict(keys=keys, values=values):
            yield from ((_name(key), value) for key, value in zip(keys, values, strict=True) if key)
        case ast.Call(func=ast.Attribute(attr="setdefault"), args=[first, second]):
            yield _name(first), second


def _name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name
        case ast.Subscript(slice=inner):
            return _name(inner)
    return ""


def _is_secret(name: str, value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=str(text)):
            pass
        case _:
            return False
    if len(text) < SHORTEST or " " in text or PLACEHOLDER.search(text):
        return False
    if re.search(r"passw|pwd", name, re.IGNORECASE):
        return True
    mixed = any(c.isdigit() for c in text) and any(c.isalpha() for c in text)
    return mixed and (len(text) >= LONG or _bits(text) >= BITS)


def _bits(text: str) -> float:
    """Shannon's entropy for each character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())

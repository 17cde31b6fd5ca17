"""Takes out of texts what must not leave: keys, addresses of e-mail, telephone numbers, and what an operator adds.

Every pattern is linear in the length of the text: its repetitions are bounded, or possessive and begun only where a run
of their characters begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from answerbox import plugins
from answerbox.settings import Settings, variable

Hook = Callable[[str], str]

SECRET, EMAIL, PHONE = "[secret]", "[e-mail]", "[phone]"
UNMASKED = "[left out: the mask failed]"
CUT = "…"

MARGIN = 2_048
"""Characters that are read beyond the longest text, so that what is cut is masked as a whole first."""
TAIL = 400
"""Longer than any pattern that must be seen to its end: so much is not shown of a text whose end was not read."""
MAX_DEPTH = 32

BROKEN = re.compile("[\x00\ud800-\udfff]")
"""Half characters cannot be sent as UTF-8, and databases refuse NUL."""
NAMES = re.compile(r"(?i)(pass(word|wd)|secret|(client|aws)_?secret.{0,16}|(api|private|access)[_-]?key|authorization)")
"""Of fields whose text is a secret whatever it looks like."""


@dataclass(frozen=True)
class Rule:
    """`hints`: the pattern is tried only where one of them stands in the text in lower case."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str


RULES = (
    Rule(("ab_",), re.compile(r"\bab_[0-9a-f]{8}_[\w-]{8,}+"), SECRET),  # as in keys.py
    Rule(("sk-lf-", "pk-lf-"), re.compile(r"(?<![\w-])[sp]k-lf-[\w-]{4,}+"), SECRET),
    Rule(("sk-", "pk-", "rk-"), re.compile(r"(?<![\w-])[spr]k-(?=[\w-]{0,64}\d)[\w-]{16,}+"), SECRET),
    Rule(("sk_", "pk_", "rk_"), re.compile(r"(?<![\w-])[spr]k_(?:live|test)_\w{8,}+"), SECRET),
    Rule(("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}+"), SECRET),
    Rule(("github_pat_", "glpat-"), re.compile(r"\b(?:github_pat_|glpat-)[\w-]{20,}+"), SECRET),
    Rule(("hf_",), re.compile(r"\bhf_[A-Za-z0-9]{30,}+"), SECRET),
    Rule(("xox",), re.compile(r"\bxox[abeoprs]-[\w-]{10,}+"), SECRET),
    Rule(("aiza",), re.compile(r"\bAIza[\w-]{35}"), SECRET),
    Rule(("akia", "asia", "aroa", "aida"), re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b"), SECRET),
    Rule(
        ("secret",),
        re.compile(r"(?i)\b(aws_?secret_?access_?key[\"']?\s{0,3}[=:]\s{0,3}[\"']?)[\w/+=]{16,}+"),
        rf"\1{SECRET}",
    ),
    Rule(("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?"), SECRET),  # a JWT: RFC 7519
    Rule(
        ("authorization",),
        re.compile(
            r"(?i)\b(authorization[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?:(?:bearer|basic|token)\s{1,3})?)[^\s\"',;]{6,}+"
        ),
        rf"\1{SECRET}",
    ),
    Rule(("bearer",), re.compile(r"(?i)\b(bearer\s{1,3})(?=[\w.~+/-]{0,200}\d)[\w.~+/-]{8,}+=*+"), rf"\1{SECRET}"),
    Rule(
        ("private key-----",),
        re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\w+/=\s\\]*+(?:-----END [A-Z ]{0,20}PRIVATE KEY-----)?"),
        SECRET,
    ),
    Rule(("://",), re.compile(r"(://[^\s/:@]{1,64}:)[^\s/@]{1,128}@"), rf"\1{SECRET}@"),
    Rule(("@",), re.compile(r"(?<![\w.%+-])[\w.%+-]{1,256}+@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}"), EMAIL),
)
HINTS = [(hint, rule) for rule in RULES for hint in rule.hints]
SHORTEST = 6
"""Nothing shorter is looked for: `a@b.ru`."""

GAP = r"[ \u00a0\u202f-]?"
ALONE = r"(?<![\w.,+-])"
ENDED = r"(?!\w|[.,-]\d)"
PHONES = re.compile(
    "|".join(
        (
            # +44 20 7946 0958, +7 (912) 345-67-89, +1.202.555.0143
            r"(?<![\w+])\+[1-9](?:[ ()\u00a0\u202f\u2011\u2013-]{0,2}\d){8,14}(?!\d)",
            r"(?<![\w+])\+[1-9]\d{0,2}(?:\.\d{2,4}){3,5}(?!\w|\.\d)",
            # 0049 30 123456
            rf"{ALONE}00[1-9]\d{{0,2}}[ -](?:[ -]?\d){{7,12}}{ENDED}",
            # 8 (912) 345-67-89, 8-495-123-45-67; without any gap only numbers of mobiles and 8800
            rf"{ALONE}(?:[78]9\d{{9}}|8800\d{{7}}){ENDED}",
            rf"{ALONE}[78](?:{GAP}\([3489]\d\d\){GAP}|[ \u00a0\u202f-][3489]\d\d[ \u00a0\u202f-])"
            rf"\d{{3}}{GAP}\d\d{GAP}\d\d{ENDED}",
            # (495) 123-45-67, 495 123-45-67
            rf"{ALONE}\([3489]\d{{2,4}}\) ?\d{{1,3}}-\d\d-\d\d{ENDED}",
            rf"{ALONE}[3489]\d\d[ -]\d{{3}}-\d\d-\d\d{ENDED}",
            # (202) 555-0143, 1-202-555-0143
            rf"{ALONE}(?:1[ -])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-)\d{{3}}-\d{{4}}{ENDED}",
        )
    )
)
RUN = re.compile(r"[+(\d][\d ()+.\u00a0\u202f\u2011\u2013-]{6,}+")
"""Where a telephone number may be; found ten times as fast."""
LOOK = 8
"""Characters after a number that tell whether it is an amount."""
ROUND = re.compile(r"[ \u00a0\u202f]000$")
UNIT = re.compile(r"[.,]\d|\s?(?:[₽€$£¥%]|руб|тыс|млн|USD|EUR|RUB)")


def hook_of(settings: Settings) -> Hook | None:
    """The operator's own mask. Raises: SetupError where it cannot be loaded."""
    return plugins.load(variable("trace_mask"), settings.trace_mask) if settings.trace_mask else None


def mask(value: Any, hook: Hook | None = None, chars: int | None = None, depth: int = MAX_DEPTH) -> Any:
    """The value with every text in it masked; then `hook` has it; then it is cut to `chars` characters.

    Dicts, lists and tuples are followed, to a depth. A hook that fails costs the text: it is never shown unmasked.
    """
    if isinstance(value, str):
        return _text(value, hook, chars)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth <= 0:
        return CUT
    if isinstance(value, dict):
        return {redact(str(name)): _field(name, item, hook, chars, depth - 1) for name, item in value.items()}
    items = [mask(item, hook, chars, depth - 1) for item in value]
    return tuple(items) if isinstance(value, tuple) else items


def _field(name: Any, item: Any, hook: Hook | None, chars: int | None, depth: int) -> Any:
    if isinstance(item, str) and NAMES.fullmatch(str(name)):
        return SECRET
    return mask(item, hook, chars, depth)


def _text(text: str, hook: Hook | None, chars: int | None) -> str:
    whole = chars is None or len(text) < chars + MARGIN
    masked = redact(text if chars is None else head(text, chars))
    if not whole:  # a number whose end was not read is not known as one
        masked = masked[:-TAIL] + CUT
    if hook is not None:
        masked = _hooked(masked, hook)
    return masked if chars is None else shortened(masked, chars)


def head(text: str, chars: int) -> str:
    """As much of the text as masking needs."""
    return text[: chars + MARGIN]


def _hooked(text: str, hook: Hook) -> str:
    try:
        found = hook(text)
    except BaseException:  # a function of others may also try to end the thread
        return UNMASKED
    return clean(found) if isinstance(found, str) else UNMASKED


def redact(text: str) -> str:
    """The text without keys, addresses of e-mail and telephone numbers, and without broken characters."""
    text = clean(text)
    if len(text) < SHORTEST:
        return text
    lower = text.lower()
    for hint, rule in HINTS:
        if hint in lower:
            text = rule.pattern.sub(rule.replacement, text)
    return RUN.sub(_phones, text)


def clean(text: str) -> str:
    return BROKEN.sub("\ufffd", text)


def shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + CUT


def _phones(run: re.Match[str]) -> str:
    before, after = run.string[max(run.start() - 1, 0) : run.start()], run.string[run.end() : run.end() + LOOK]
    masked = PHONES.sub(_phone, f"{before}{run[0]}{after}")
    return masked[len(before) : len(masked) - len(after)]


def _phone(found: re.Match[str]) -> str:
    """`+150 000 000` and `+375 120 300 ₽` are amounts."""
    is_amount = ROUND.search(found[0]) or UNIT.match(found.string, found.end())
    return found[0] if is_amount else PHONE

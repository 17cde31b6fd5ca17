"""From bytes to text, where nothing says which encoding it is."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from answerbox.documents.formats.base import Unreadable

MAX_BYTES = 32 * 2**20

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_RUSSIAN = frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяё")
_COMMON = frozenset("оеаинтсрвлОЕАИНТСРВЛ")
_MIXED = re.compile(r"[A-Za-z][А-яЁё]|[А-яЁё][A-Za-z]")
_WESTERN = frozenset("àâäáãåçéèêëíìîïñóòôöõøúùûüßæœ")
_SIGNS = frozenset("«»„“”‘’–—…№§°€£©®\xa0·•×")
_CJK = frozenset({"gb18030", "gbk", "gb2312", "big5", "big5hkscs", "cp932", "shift_jis", "euc_jp", "euc_kr", "cp949"})


def read_text(path: Path, declared: str | None = None) -> str:
    """The text of a file. Raises: Unreadable, where it is not text, or in what encoding cannot be told."""
    if path.stat().st_size > MAX_BYTES:
        raise Unreadable(f"is larger than {MAX_BYTES // 2**20} MiB, too much for a text. Split it into several files.")
    text = decoded(path.read_bytes(), declared)
    if not text.strip():
        raise Unreadable("is empty.")
    if "\x00" in text:
        raise Unreadable("is not text: it has NUL bytes in it.")
    return text


def decoded(data: bytes, declared: str | None = None) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _strictly(data, encoding)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        reason = f"is not UTF-8: {exc.reason} at byte {exc.start}"
    if b"\x00" in data:
        raise Unreadable("is not text: it has NUL bytes in it.")
    text = _as_declared(data, declared) or _russian(data) or _western(data) or _guessed(data)
    if text is None:
        raise Unreadable(f"{reason}, and what else it may be cannot be told. Save it as UTF-8.")
    return text


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        raise Unreadable(f"is not {encoding.upper()}: {exc.reason} at byte {exc.start}. Save it as UTF-8.") from None


def _as_declared(data: bytes, declared: str | None) -> str | None:
    try:
        return data.decode(declared) if declared else None
    except (LookupError, UnicodeError):
        return None


def _russian(data: bytes) -> str | None:
    """Of the Russian code pages the one that makes Russian words: a guesser of all languages needs long texts."""
    texts = [_as_declared(data, encoding) for encoding in ("cp1251", "koi8-r", "cp866")]
    best = max((text for text in texts if text and not _MIXED.search(text)), key=_share_of_common, default=None)
    if best is None or _share_of_common(best) < 0.45:
        return None
    return best if _share_of(best, _RUSSIAN) > 0.97 else None


def _western(data: bytes) -> str | None:
    text = _as_declared(data, "cp1252")
    if text is None or _share_of(text, _WESTERN) < 1 or not any(char.isascii() and char.isalpha() for char in text):
        return None
    return text if sum(not char.isascii() for char in text) < len(text) / 3 else None


def _share_of_common(text: str) -> float:
    high = [char for char in text if not char.isascii() and char not in _SIGNS]
    return sum(char in _COMMON for char in high) / len(high) if high else 0


def _share_of(text: str, alphabet: frozenset[str]) -> float:
    high = [char for char in text if not char.isascii() and char not in _SIGNS]
    return sum(char.lower() in alphabet for char in high) / len(high) if high else 0


def _guessed(data: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(data).best()
    if best is None or best.chaos > 0.1:
        return None
    sure = best.coherence >= 0.2 or (best.encoding in _CJK and len(data) >= 32)
    return str(best) if sure else None

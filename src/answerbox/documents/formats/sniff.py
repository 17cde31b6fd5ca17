"""What a file's content is, whatever its name says."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile, ZipFile

from answerbox.documents.formats.base import Unreadable

HEAD_BYTES = 4_096
PDF, WORD, SLIDES, SHEETS = "a PDF", "a Word document", "a PowerPoint presentation", "an Excel workbook"
ZIP, OLD_OFFICE, PROTECTED = "a ZIP archive", "an old Office document", "an Office document with a password"
EXPECTED = {".pdf": PDF, ".docx": WORD, ".pptx": SLIDES, ".xlsx": SHEETS}
"""Suffixes of the formats that are not text."""

MODERN = {".doc": ".docx", ".xls": ".xlsx", ".ppt": ".pptx"}
_INNER = (("word/", WORD), ("ppt/", SLIDES), ("xl/", SHEETS))
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_SIGNATURES = (
    (b"%PDF-", PDF),
    (_OLE, OLD_OFFICE),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3\x00", "an SQLite database"),
)


def check(path: Path, suffix: str) -> None:
    """Raises: Unreadable, where the content is not what the suffix says."""
    found = looks_like(path)
    expected = EXPECTED.get(suffix)
    if found == expected:
        return
    if found == PROTECTED:
        raise Unreadable("is protected by a password. Save it without one.")
    if found == OLD_OFFICE:
        modern = EXPECTED.keys() & {suffix} or MODERN.values()
        raise Unreadable(f"is an old Office document. Save it as {' or '.join(sorted(modern))}.")
    if expected is None:
        raise Unreadable(f"is not text: its content looks like {found}.")
    raise Unreadable(f"is not {expected}: its content looks like {found or _of_text(path)}.")


def looks_like(path: Path) -> str | None:
    """The name of a format that is not text; None where it may be text."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip():
        raise Unreadable("is empty.")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(path)
    if head.startswith(_OLE) and _ENCRYPTED_PACKAGE in path.read_bytes():
        return PROTECTED
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    # Some programs write a line of their own before the PDF begins.
    return PDF if b"%PDF-1." in head[:1024] and b"\x00" in path.read_bytes()[:1_000_000] else None


def _zip_kind(path: Path) -> str:
    try:
        with ZipFile(path) as archive:
            names = archive.namelist()
    except (BadZipFile, ValueError, OSError, NotImplementedError):
        return ZIP
    for folder, kind in _INNER:
        if any(name.startswith(folder) for name in names):
            return kind
    return ZIP


def _of_text(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if b"\x00" in head:
        return "no format that is known here"
    start = head.lstrip().lower()
    return "an HTML page" if start.startswith((b"<!doctype html", b"<html")) else "plain text"

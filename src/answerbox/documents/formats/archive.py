"""Office files are ZIP archives of XML: this looks whether one is safe to unpack, before a library does."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from answerbox.documents.formats.base import Unreadable

MAX_ENTRIES = 10_000
MAX_UNPACKED = 256 * 2**20
MAX_RATIO = 300
RATIO_FROM = 16 * 2**20
"""Small files may be packed as tightly as they like."""

BLOCK = 2**16
ENCRYPTED = 0x1


def check(path: Path) -> None:
    """Raises: Unreadable, for an archive that is damaged, or made to fill the memory."""
    try:
        with ZipFile(path) as archive:
            entries = archive.infolist()
            _check_declared(entries, path.stat().st_size)
            _check_real(archive, entries)
            for entry in entries:
                if entry.filename.lower().endswith((".xml", ".rels")):
                    _check_prolog(archive, entry)
    except (BadZipFile, EOFError, OSError, NotImplementedError, ValueError) as exc:
        raise Unreadable(f"is damaged: {str(exc).rstrip('.')}.") from exc


def _check_declared(entries: list[ZipInfo], packed: int) -> None:
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES:
        raise Unreadable(f"has more than {MAX_ENTRIES:,} parts inside.")
    if any(entry.flag_bits & ENCRYPTED for entry in entries):
        raise Unreadable("is protected by a password. Save it without one.")
    if any(entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for entry in entries):
        raise Unreadable("is packed in a way that Office does not use.")
    if total > MAX_UNPACKED:
        raise too_large()
    if total > RATIO_FROM and total > packed * MAX_RATIO:
        raise Unreadable(f"is packed more than {MAX_RATIO}-fold, as only files made to do harm are.")


def _check_real(archive: ZipFile, entries: list[ZipInfo]) -> None:
    """What is declared may be a lie."""
    total = 0
    for entry in entries:
        with archive.open(entry) as part:
            while block := part.read(BLOCK):
                total += len(block)
                if total > MAX_UNPACKED:
                    raise too_large()


def _check_prolog(archive: ZipFile, entry: ZipInfo) -> None:
    """Entities are declared before the first element, and Office declares none."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    with archive.open(entry) as part:
        try:
            next(iter(iterparse(part, events=("start",), forbid_dtd=True)), None)
        except DefusedXmlException:
            raise Unreadable(
                "declares XML entities, as only files made to do harm do. Save it anew with an Office program."
            ) from None
        except ParseError as exc:
            raise Unreadable(f"is damaged: {entry.filename} is not XML ({exc}).") from None


def too_large() -> Unreadable:
    return Unreadable(f"is larger than {MAX_UNPACKED // 2**20} MiB when it is unpacked.")


def parsed(xml: bytes) -> Element:
    """The root of a small XML part."""
    from defusedxml.ElementTree import fromstring

    root: Element = fromstring(xml, forbid_dtd=True)
    return root

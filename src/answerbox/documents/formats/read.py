"""From one file to its documents, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from answerbox.contracts import MAX_DOCUMENT_CHARS, DocumentIn
from answerbox.documents.formats import MANY, READERS, SUFFIXES, sniff
from answerbox.documents.formats.base import Content, Unreadable, first_heading, too_long
from answerbox.documents.formats.plain import read_lines
from answerbox.errors import InvalidRequest
from answerbox.ports import FileIn

TITLED_BY_HEADING = (".docx", ".markdown", ".md", ".pptx", ".txt")
"""Elsewhere a line that begins with `# ` is no heading of the whole."""


def documents(path: Path, file: FileIn) -> Iterator[DocumentIn]:
    """The documents of the file at `path`, which is called `file.name`.

    Raises:
        InvalidRequest: it cannot be read; the message names the file and says why, and what to do.
        MemoryError
    """
    try:
        suffix = suffix_of(file.name)
        sniff.check(path, suffix)
        if suffix == MANY:
            yield from _many(path, file)
        else:
            yield _one(READERS[suffix](path), suffix, file)
    except Unreadable as exc:
        raise InvalidRequest(f"{file.name!r} {exc}") from None
    except RecursionError:
        raise InvalidRequest(f"{file.name!r} is nested too deeply to be read.") from None
    except (InvalidRequest, MemoryError):
        raise
    except OSError as exc:
        raise InvalidRequest(f"{file.name!r} cannot be read: {exc.strerror or exc}.") from exc
    except Exception as exc:  # a library's way to say that it does not understand the file
        reason = " ".join(f"{type(exc).__name__}: {exc}".split())[:200]
        raise InvalidRequest(f"{file.name!r} cannot be read, it is damaged, perhaps ({reason}).") from exc


def suffix_of(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in sniff.MODERN:
        raise Unreadable(f"is an old Office document. Save it as {sniff.MODERN[suffix]}.")
    if suffix not in SUFFIXES:
        raise Unreadable(f"is of no format that can be read, which are {', '.join(SUFFIXES)}.")
    return suffix


def _one(content: Content, suffix: str, file: FileIn) -> DocumentIn:
    if not content.text.strip():
        raise Unreadable("has no text in it.")
    if len(content.text) > MAX_DOCUMENT_CHARS:
        raise too_long()
    heading = first_heading(content.text) if suffix in TITLED_BY_HEADING else None
    title = heading or content.title or PurePosixPath(file.name).stem
    try:
        return DocumentIn(
            id=file.name[-256:],
            title=title[:500],
            uri=file.name,
            text=content.text,
            pages=content.pages,
            **_given(file),
        )
    except ValidationError as exc:
        raise InvalidRequest(f"{file.name!r}: {_fault(exc)}.") from None


def _many(path: Path, file: FileIn) -> Iterator[DocumentIn]:
    """What a line says goes before what was said of the file. An empty file has no documents, and is refused."""
    found = False
    for number, line in read_lines(path):
        try:
            yield _with(DocumentIn.model_validate_json(line), file)
        except ValidationError as exc:
            raise InvalidRequest(f"{file.name!r}, line {number}: {_fault(exc)}.") from None
        found = True
    if not found:
        raise Unreadable("is empty.")


def _with(document: DocumentIn, file: FileIn) -> DocumentIn:
    given = _given(file)
    own = document.model_dump(exclude_unset=True)
    return DocumentIn(**{**given, **own, "metadata": {**given["metadata"], **document.metadata}})


def _given(file: FileIn) -> dict[str, Any]:
    return {"language": file.language, "metadata": file.metadata, "user_id": file.user_id}


def _fault(exc: ValidationError) -> str:
    first = exc.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'line'}: {first['msg']}"

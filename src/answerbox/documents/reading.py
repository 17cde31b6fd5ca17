"""From files to documents: Markdown, plain text, JSON Lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import ValidationError

from answerbox.contracts import DocumentIn
from answerbox.errors import InvalidRequest

SUFFIXES = (".md", ".txt", ".jsonl")


def find(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and every readable file below the folders, in order.

    Raises:
        InvalidRequest: a path does not exist, or a file named has another suffix than `SUFFIXES`.
    """
    found = []
    for path in paths:
        if path.is_dir():
            found += sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        elif not path.exists():
            raise InvalidRequest(f"There is no file {str(path)!r}.")
        elif path.suffix not in SUFFIXES:
            raise InvalidRequest(f"{str(path)!r} is none of {', '.join(SUFFIXES)}.")
        else:
            found.append(path)
    return found


def read(path: Path, root: Path | None = None) -> Iterator[DocumentIn]:
    """The documents of one file. Its name below `root` becomes the id, its first heading the title.

    A line of a `.jsonl` file is a document as `POST /documents` takes it; keys that the contract does not know
    are refused.

    Raises:
        InvalidRequest: not UTF-8, blank, or a line that is no document; the message names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"{str(path)!r} is not UTF-8: {exc.reason} at byte {exc.start}.") from None
    if path.suffix == ".jsonl":
        yield from _lines(path, text)
        return
    if not text.strip():
        raise InvalidRequest(f"{str(path)!r} is empty.")
    name = path.relative_to(root).as_posix() if root else path.name
    try:
        yield DocumentIn(id=name[-256:], title=_title(text) or path.stem[:500], uri=name, text=text)
    except ValidationError as exc:
        raise InvalidRequest(f"{str(path)!r}: {_fault(exc)}.") from None


def _lines(path: Path, text: str) -> Iterator[DocumentIn]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield DocumentIn.model_validate_json(line)
        except ValidationError as exc:
            raise InvalidRequest(f"{str(path)!r}, line {number}: {_fault(exc)}.") from None


def _title(text: str) -> str | None:
    for line in text.splitlines():
        if line.startswith("# "):
            return line[2:].strip()[:500] or None
    return None


def _fault(exc: ValidationError) -> str:
    first = exc.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'line'}: {first['msg']}"

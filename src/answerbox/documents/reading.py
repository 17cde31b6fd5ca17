"""Files of this machine: which there are, and what is in those that are trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from answerbox.contracts import DocumentIn
from answerbox.documents.formats import SUFFIXES
from answerbox.documents.formats.read import documents
from answerbox.errors import InvalidRequest
from answerbox.ports import FileIn


def find(paths: Iterable[Path], glob: str | None = None) -> list[Path]:
    """The files themselves, and every readable file below the folders, in order.

    With `glob` only those whose name, or path below the folder, fits it: `*.md`, `docs/*`, `**/guide.*`.

    Raises:
        InvalidRequest: a path does not exist, or a file named has another suffix than `SUFFIXES`.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if _readable(file) and file.is_file())
            found += [file for file in below if _fits(file.relative_to(path).as_posix(), glob)]
        elif not path.exists():
            raise InvalidRequest(f"There is no file {str(path)!r}.")
        elif not _readable(path):
            raise InvalidRequest(f"{str(path)!r} is none of {', '.join(SUFFIXES)}.")
        elif _fits(path.name, glob):
            found.append(path)
    return found


def read(path: Path, root: Path | None = None) -> Iterator[DocumentIn]:
    """The documents of one file, read in this process and without bounds: for files that are trusted.

    Its name below `root` becomes the id, its first heading the title.

    Raises:
        InvalidRequest: it cannot be read; the message names the file.
    """
    name = path.relative_to(root).as_posix() if root else path.name
    return documents(path, FileIn(upload_id="", name=name, size=0, sha256=""))


def _readable(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _fits(name: str, glob: str | None) -> bool:
    """`**/` stands for any folders, and for none."""
    if glob is None:
        return True
    patterns = {glob, glob.replace("**/", "")}
    return any(fnmatchcase(text, pattern) for text in (name, name.rpartition("/")[2]) for pattern in patterns)

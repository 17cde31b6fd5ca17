"""The files of an embedded Chroma: whether its last stop was orderly, and putting a damaged one aside.

Nothing here reads or copies the files: a damaged one may claim to be of hundreds of gigabytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path

from answerbox.adapters.chroma_probe import DATABASE

MARKER = "clean"
DRAFT = "clean.new"
OLDER_KEPT = 1


def has_store(folder: Path) -> bool:
    return (folder / DATABASE).exists() or bool(_segments(folder))


def mark_clean(folder: Path) -> None:
    """Says that the last stop was orderly. It holds after a power cut too: the files are on the disk before it."""
    for path in _files(folder):
        _flush(path)
    draft = folder / DRAFT
    draft.write_text(_listing(folder), encoding="utf-8")
    draft.replace(folder / MARKER)


def is_clean(folder: Path) -> bool:
    """Whether the last stop was orderly and no file has changed since."""
    marker = folder / MARKER
    return marker.is_file() and marker.read_text(encoding="utf-8") == _listing(folder)


def unmark(folder: Path) -> None:
    (folder / MARKER).unlink(missing_ok=True)


def put_aside(folder: Path) -> Path:
    """Renames the folder and returns its new place. The one that was put aside before is kept, older ones are not."""
    older = sorted(path for path in folder.parent.iterdir() if path.name.startswith(f"{folder.name}.damaged-"))
    for path in older[:-OLDER_KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    target = folder.with_name(f"{folder.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    folder.rename(target)
    return target


def sweep(folder: Path) -> None:
    """Removes what Chroma leaves behind of collections that were dropped. Only while nobody has the folder open."""
    if not (folder / DATABASE).exists():
        return
    with contextlib.closing(sqlite3.connect(folder / DATABASE)) as connection:
        used = {name for (name,) in connection.execute("SELECT id FROM segments")}
    for path in _segments(folder):
        if path.name not in used:
            shutil.rmtree(path, ignore_errors=True)


def _segments(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and _is_uuid(path.name)]


def _is_uuid(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (MARKER, DRAFT))


def _listing(folder: Path) -> str:
    return "\n".join(_line(path.relative_to(folder), path.stat()) for path in _files(folder))


def _line(name: Path, facts: os.stat_result) -> str:
    return f"{name} {facts.st_size} {facts.st_mtime_ns}"


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

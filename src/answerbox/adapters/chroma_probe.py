"""Whether the Chroma in a folder is whole, told by the end of a process: damaged files end it with a crash.

`python -m answerbox.adapters.chroma_probe FOLDER` ends with 0 where all is well. It must not run beside a process that
has the folder open. Rows from all over each collection have to find their own vectors.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import chromadb

from answerbox.adapters.chroma_collection import SealedSettings
from answerbox.errors import IndexUnavailable

DATABASE = "chroma.sqlite3"
SAMPLES = 20
SAME = 1e-3
"""The most that a vector may be away from itself."""
MISSES = 0.1
"""The part of the samples that may be missed: the search is approximate."""

SHORTEST_S = 60.0
LONGEST_S = 600.0
BYTES_A_SECOND = 5e6

STOPPED_BY = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""Of a check that somebody ended, who was stopping the service: nobody knows what it would have found."""
OK, BAD_DATABASE, BAD_VECTORS = 0, 3, 4


def fault(folder: Path) -> str | None:
    """What is wrong with the Chroma in a folder, in words; None where it is whole.

    Raises:
        IndexUnavailable: the check was stopped from outside.
    """
    limit_s = min(SHORTEST_S + _size(folder / DATABASE) / BYTES_A_SECOND, LONGEST_S)
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(folder)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the check did not end within {limit_s:.0f} s"
    if done.returncode == OK:
        return None
    if done.returncode in STOPPED_BY:
        raise IndexUnavailable("The check of the vectors was stopped.")
    last_line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"the check ended with {done.returncode} {last_line}".strip()


def main(folder: Path) -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not _is_whole(folder / DATABASE):
        return BAD_DATABASE
    client = chromadb.PersistentClient(path=str(folder), settings=SealedSettings(anonymized_telemetry=False))
    names = [collection.name for collection in client.list_collections()]
    found = all(_finds_its_own(client.get_collection(name, embedding_function=None)) for name in names)
    client.close()
    return OK if found else BAD_VECTORS


def _is_whole(database: Path) -> bool:
    if not database.is_file():
        return False
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT count(*) FROM collections")
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))


def _finds_its_own(collection: Any) -> bool:
    total = collection.count()
    places = range(0, total, max(1, total // SAMPLES))
    missed = sum(not _is_found(collection, place) for place in places)
    return missed <= MISSES * len(places)


def _is_found(collection: Any, place: int) -> bool:
    row = collection.get(limit=1, offset=place, include=["embeddings"])
    near = collection.query(query_embeddings=row["embeddings"], n_results=1, include=["distances"])
    distances = near["distances"][0]
    return bool(distances) and distances[0] <= SAME


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

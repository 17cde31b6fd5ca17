"""Files that were sent and are not read yet. They are in the data folder, so that a crash loses none."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from pathlib import Path

from answerbox.errors import IndexUnavailable, InvalidRequest, StorageFull
from answerbox.ports import FileIn

ID = re.compile(r"[0-9a-f]{32}")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
FORGOTTEN_S = 3_600.0
"""An upload that no job has taken for so long is removed."""


class Uploads:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, upload_id: str, offset: int, data: bytes) -> None:
        """A piece of the file, at that place.

        Raises:
            StorageFull, IndexUnavailable: the disk does not take it; then nothing of the file is kept.
        """
        path = self.path(upload_id)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if path.exists() else "wb") as file:
                file.seek(offset)
                file.write(data)
        except OSError as exc:
            with contextlib.suppress(OSError):
                path.unlink()
            raise _not_stored(exc) from exc

    def seal(self, file: FileIn) -> None:
        """Makes sure that the file is whole and on the disk. Blocking.

        Raises:
            InvalidRequest: what was sent is not what was announced.
            StorageFull, IndexUnavailable
        """
        path = self.path(file.upload_id)
        try:
            with path.open("rb+") as stored:
                digest = hashlib.file_digest(stored, "sha256").hexdigest()
                os.fsync(stored.fileno())
        except FileNotFoundError:
            digest = None
        except OSError as exc:  # some disks take a write and find no room for it later
            raise _not_stored(exc) from exc
        if digest != file.sha256 or path.stat().st_size != file.size:
            raise InvalidRequest(f"The file {file.name!r} did not arrive whole.", hint="Send it again.")

    def path(self, upload_id: str) -> Path:
        if not ID.fullmatch(upload_id):
            raise InvalidRequest("An upload's id has 32 hexadecimal digits.")
        return self._folder / upload_id

    def remove(self, upload_id: str) -> None:
        self.path(upload_id).unlink(missing_ok=True)

    def sweep(self, needed: set[str]) -> None:
        """Removes what no job needs and nobody sends any more."""
        for path in self._folder.glob("*"):
            if path.name not in needed and time.time() - path.stat().st_mtime > FORGOTTEN_S:
                path.unlink(missing_ok=True)


def _not_stored(exc: OSError) -> IndexUnavailable:
    if exc.errno in NO_ROOM:
        return StorageFull("There is no room left on the disk.")
    return IndexUnavailable(f"The file cannot be stored: {exc.strerror}.")

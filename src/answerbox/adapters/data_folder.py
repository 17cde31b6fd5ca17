"""One process owns a data folder. The kernel frees the lock when that process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from answerbox.errors import DataFolderBusy, SetupError


class DataFolder:
    def __init__(self, path: Path) -> None:
        """Makes the folder and takes it.

        Raises:
            DataFolderBusy: another process has it.
            SetupError: it cannot be made or written to.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _claim(path / ".owner")
        except OSError as exc:
            raise SetupError(
                f"The data folder {str(path)!r} cannot be used: {exc.strerror}.",
                hint="Choose another one with ANSWERBOX_DATA_DIR.",
            ) from exc

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.sqlite3"

    @property
    def vectors(self) -> Path:
        return self.path / "chroma"

    @property
    def feedback(self) -> Path:
        return self.path / "feedback.sqlite3"

    @property
    def sessions(self) -> Path:
        return self.path / "sessions.sqlite3"

    @property
    def uploads(self) -> Path:
        return self.path / "uploads"

    def release(self) -> None:
        self._lock.close()


def _claim(path: Path) -> IO[str]:
    lock = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "?"
        lock.close()
        raise DataFolderBusy(
            f"The data folder {str(path.parent)!r} is in use by process {owner}.",
            hint="Stop that service, or choose another folder with ANSWERBOX_DATA_DIR.",
        ) from None
    with suppress(OSError):  # on a full disk the lock holds without a name, too
        os.ftruncate(lock.fileno(), 0)
        os.pwrite(lock.fileno(), str(os.getpid()).encode(), 0)
    return lock

"""Files that were sent, on a disk that has no room: `/dev/full` takes no byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from answerbox.documents.uploads import Uploads
from answerbox.errors import StorageFull
from answerbox.ports import FileIn

ID = "0" * 32


def test_a_file_without_room_is_told_so_and_nothing_of_it_stays_in_the_way(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.path(ID).symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        uploads.put(ID, 0, b"Bread.")
    assert list(tmp_path.iterdir()) == []


def test_with_room_again_it_is_taken(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.path(ID).symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        uploads.put(ID, 0, b"Bread.")
    uploads.put(ID, 0, b"Bread.")
    digest = hashlib.sha256(b"Bread.").hexdigest()
    uploads.seal(FileIn(ID, "a.txt", 6, digest))

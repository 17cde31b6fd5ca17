"""The service of the documents that starts where its files cannot be opened yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from answerbox.adapters.data_folder import DataFolder
from answerbox.errors import StorageFull
from answerbox.service import index
from answerbox.service.late import Late


class FullAtFirst:
    """A library that finds room when it is started for the third time."""

    starts = 0
    stops = 0

    async def start(self) -> None:
        FullAtFirst.starts += 1
        if FullAtFirst.starts < 3:
            raise StorageFull("There is no room left on the disk.")

    async def stop(self) -> None:
        FullAtFirst.stops += 1


async def test_documents_are_opened_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_seed(_: Any) -> None:
        pass

    monkeypatch.setattr(index, "library", lambda *_: FullAtFirst())
    monkeypatch.setattr(index, "pinned", lambda *_: None)
    monkeypatch.setattr(index, "seed", no_seed)
    monkeypatch.setattr(index, "RETRY_S", 0.0)
    inner: Any = cast(Any, index.Index).inner
    service = inner.__new__(inner)
    service._folder, service._library, service._failure = DataFolder(tmp_path), None, None
    service._library = await service._opened(None)
    assert service._ready() is service._library
    assert (FullAtFirst.starts, FullAtFirst.stops) == (3, 2), "what was half open is closed"
    service._folder.release()


async def test_feedback_is_taken_once_its_file_can_be_opened(tmp_path: Path) -> None:
    inner: Any = cast(Any, index.Index).inner
    service = inner.__new__(inner)
    service._folder = DataFolder(tmp_path)
    service._feedback = Late("Feedback", service._open_desk)
    in_the_way = service._folder.feedback
    in_the_way.mkdir()
    word = {"trace_id": "1" * 32, "score": 1.0, "comment": None, "user_id": None}
    await service._feedback.try_now()
    assert "error" in await service._add_feedback(word)
    in_the_way.rmdir()
    assert await service._add_feedback(word) == {"result": None}
    await service._feedback.found.stop()
    service._folder.release()

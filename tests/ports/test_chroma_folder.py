"""An embedded Chroma whose files were damaged is put aside; after an orderly stop nobody looks at them."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import chromadb
import pytest

from answerbox.adapters import chroma_folder
from answerbox.adapters.chroma_collection import EF_SEARCH, collection_name
from answerbox.adapters.chroma_folder import ChromaFolder
from answerbox.adapters.chroma_probe import fault
from answerbox.errors import IndexUnavailable, StorageFull
from answerbox.ports import Vector

MODEL = "model-1"
ROWS = 300
SYNC_THRESHOLD = 50
"""Small, so that the files of the index are written."""
MARKER = "clean"


def vector(number: int) -> Vector:
    draw = random.Random(number)
    return [draw.gauss(0, 1) for _ in range(16)]


def fill(folder: ChromaFolder, fingerprint: str = MODEL) -> None:
    ids = [f"row-{number}" for number in range(ROWS)]
    vectors = [vector(number) for number in range(ROWS)]
    folder.open(fingerprint).upsert(ids, vectors, [{"document_id": "d"}] * ROWS)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "chroma"
    folder = ChromaFolder(path, sync_threshold=SYNC_THRESHOLD)
    fill(folder)
    folder.close()
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    """A folder as after a crash: without the marker of an orderly stop."""
    copy = tmp_path / "chroma"
    shutil.copytree(template, copy)
    (copy / MARKER).unlink()
    return copy


def segment(path: Path, name: str) -> Path:
    (found,) = path.glob(f"*-*/{name}")
    return found


def quarantines(path: Path) -> list[Path]:
    return sorted(path.parent.glob("chroma.damaged-*"))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def scramble(file: Path) -> None:
    file.write_bytes(random.Random(1).randbytes(file.stat().st_size))


def nothing_left(file: Path) -> None:
    os.truncate(file, 0)


def remove_segment(file: Path) -> None:
    shutil.rmtree(file.parent)


DATABASE, LEVEL_0, HEADER, LENGTH, NAMES = (
    "chroma.sqlite3",
    "data_level0.bin",
    "header.bin",
    "length.bin",
    "index_metadata.pickle",
)
DAMAGE: list[tuple[str, Callable[[Path], None]]] = [
    (DATABASE, Path.unlink),
    (DATABASE, cut),
    (DATABASE, nothing_left),
    (DATABASE, scramble),
    (LEVEL_0, cut),
    (LEVEL_0, scramble),
    (LEVEL_0, nothing_left),
    (LEVEL_0, Path.unlink),
    (LEVEL_0, remove_segment),
    (HEADER, nothing_left),
    (LENGTH, cut),
    (NAMES, cut),
    (NAMES, Path.unlink),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE, ids=[f"{name}-{damage.__name__}" for name, damage in DAMAGE])
def test_damage_is_found_and_put_aside(
    name: str, damage: Callable[[Path], None], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(path / name if name == DATABASE else segment(path, name))
    folder = ChromaFolder(path)
    with caplog.at_level(logging.WARNING):
        store = folder.open(MODEL)
    assert store.ids() == set()
    assert len(quarantines(path)) == 1
    assert "damaged" in caplog.text
    fill(folder)
    assert [id_ for id_, _ in store.query(vector(7), 1, None)] == ["row-7"]
    folder.close()


def test_what_takes_the_place_of_a_damaged_store_is_whole(path: Path) -> None:
    cut(path / DATABASE)
    folder = ChromaFolder(path)
    fill(folder)
    folder.close()
    assert fault(path) is None


def test_a_check_that_was_stopped_says_nothing_of_the_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGTERM to the service reaches the check too; the vectors were put aside for it."""
    stopped = path.parent / "stopped"
    stopped.write_text("#!/bin/sh\nkill -TERM $$\n")
    stopped.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(stopped))
        with pytest.raises(IndexUnavailable):
            ChromaFolder(path).open(MODEL)
    assert not quarantines(path)
    assert ChromaFolder(path).open(MODEL).count() == ROWS


def test_a_whole_folder_is_kept_after_a_crash(path: Path) -> None:
    folder = ChromaFolder(path)
    store = folder.open(MODEL)
    assert store.count() == ROWS
    assert [id_ for id_, _ in store.query(vector(7), 1, None)] == ["row-7"]
    assert quarantines(path) == []
    folder.close()


def test_rows_that_wait_to_be_written_are_no_damage(tmp_path: Path) -> None:
    folder = ChromaFolder(tmp_path / "chroma", sync_threshold=100_000)
    fill(folder)
    folder.close()
    with sqlite3.connect(tmp_path / "chroma" / DATABASE) as database:
        assert database.execute("SELECT count(*) FROM embeddings_queue").fetchone() == (ROWS,)
    assert fault(tmp_path / "chroma") is None


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.ports.test_chroma_folder import ChromaFolder, fill
folder = ChromaFolder(Path(sys.argv[1]), sync_threshold=100_000)
fill(folder)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_marker_and_all_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "chroma"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == -signal.SIGKILL
    assert not (path / MARKER).exists()
    folder = ChromaFolder(path)
    assert folder.open(MODEL).count() == ROWS
    folder.close()


def test_missing_files_are_an_empty_collection(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "chroma"
    folder = ChromaFolder(path)
    fill(folder)
    folder.close()
    shutil.rmtree(path)
    again = ChromaFolder(path)
    assert again.open(MODEL).ids() == set()
    assert quarantines(path) == []
    again.close()


@dataclass
class Probe:
    """Says that all is well, and remembers what it was asked."""

    wrong: str | None = None
    asked: list[Path] = field(default_factory=list)

    def __call__(self, path: Path) -> str | None:
        self.asked.append(path)
        return self.wrong


def opened_and_closed(path: Path, probe: Probe) -> None:
    folder = ChromaFolder(path, probe=probe)
    folder.open(MODEL)
    folder.close()


def test_an_orderly_stop_spares_the_check(path: Path) -> None:
    probe = Probe()
    opened_and_closed(path, probe)
    assert probe.asked == [path]
    opened_and_closed(path, probe)
    opened_and_closed(path, probe)
    assert probe.asked == [path]


def test_a_new_folder_is_not_checked(tmp_path: Path) -> None:
    probe = Probe()
    opened_and_closed(tmp_path / "chroma", probe)
    assert probe.asked == []


def test_the_marker_is_gone_while_the_folder_is_open(path: Path) -> None:
    opened_and_closed(path, Probe())
    assert (path / MARKER).exists()
    folder = ChromaFolder(path, probe=Probe())
    folder.open(MODEL)
    assert not (path / MARKER).exists()
    folder.close()


@pytest.mark.parametrize("change", [cut, scramble, Path.unlink])
def test_a_file_that_changed_after_the_stop_is_checked(change: Callable[[Path], None], path: Path) -> None:
    opened_and_closed(path, Probe())
    change(segment(path, "link_lists.bin"))
    probe = Probe()
    opened_and_closed(path, probe)
    assert probe.asked == [path]


def test_a_folder_is_checked_once_for_all_its_collections(path: Path) -> None:
    probe = Probe()
    folder = ChromaFolder(path, probe=probe)
    folder.open(MODEL)
    folder.open("model-2")
    assert probe.asked == [path]
    folder.close()


def test_damage_of_another_models_collection_is_found(path: Path) -> None:
    scramble(segment(path, "data_level0.bin"))
    folder = ChromaFolder(path)
    assert folder.open("model-2").count() == 0
    assert len(quarantines(path)) == 1
    folder.close()


def test_one_older_quarantine_is_kept(path: Path) -> None:
    for _ in range(4):
        folder = ChromaFolder(path, probe=Probe("it is broken"))
        folder.open(MODEL)
        folder.close()
        (path / MARKER).unlink()
    kept = quarantines(path)
    assert len(kept) == 2
    assert path.exists()


def test_what_a_dropped_collection_leaves_is_removed_at_the_next_start(path: Path) -> None:
    folder = ChromaFolder(path)
    folder.open("model-2")
    folder.drop(MODEL)
    folder.close()
    again = ChromaFolder(path)
    again.open("model-2")
    assert list(path.glob("*/data_level0.bin")) == []
    again.close()


def test_a_second_close_does_no_harm_and_a_closed_folder_can_be_opened(path: Path) -> None:
    folder = ChromaFolder(path)
    folder.close()
    folder.open(MODEL)
    folder.close()
    folder.close()
    assert folder.open(MODEL).count() == ROWS
    folder.close()


def test_a_place_that_cannot_be_used_is_an_unavailable_index(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(IndexUnavailable):
        ChromaFolder(tmp_path / "file").open(MODEL)


def ef_search(path: Path, made: bool = False) -> int:
    client = chromadb.PersistentClient(path=str(path))
    if made:
        client.create_collection(collection_name(MODEL), embedding_function=None)
    found: int = client.get_collection(collection_name(MODEL), embedding_function=None).configuration_json["hnsw"][
        "ef_search"
    ]
    client.close()
    return found


def test_a_collection_of_an_older_version_is_tuned(tmp_path: Path) -> None:
    assert ef_search(tmp_path, made=True) < EF_SEARCH
    folder = ChromaFolder(tmp_path)
    folder.open(MODEL)
    folder.close()
    assert ef_search(tmp_path) == EF_SEARCH


@pytest.mark.parametrize("where", ["environment", "file"])
def test_the_environment_does_not_matter(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"IS_PERSISTENT": "false", "MIGRATIONS": "none", "ALLOW_RESET": "true", "CHROMA_SERVER_HOST": "other"}
    monkeypatch.chdir(tmp_path)
    if where == "file":
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in names.items()))
    for name, value in names.items() if where == "environment" else ():
        monkeypatch.setenv(name, value)
    folder = ChromaFolder(tmp_path / "chroma")
    fill(folder)
    folder.close()
    assert (tmp_path / "chroma" / DATABASE).exists()
    assert fault(tmp_path / "chroma") is None


def test_on_a_full_disk_nothing_is_taken_for_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chroma_folder, "ROOM_BYTES", 2**62)
    with pytest.raises(StorageFull):
        ChromaFolder(path, probe=lambda _: "cannot be opened").open(MODEL)
    assert [found.name for found in path.parent.iterdir()] == ["chroma"]

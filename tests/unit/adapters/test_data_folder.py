"""One process owns a data folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from answerbox.adapters.data_folder import DataFolder
from answerbox.errors import DataFolderBusy, SetupError

OWNER = """
import sys
from pathlib import Path
from answerbox.adapters.data_folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
sys.stdout.write("mine\\n")
sys.stdout.flush()
sys.stdin.read()
"""


@contextmanager
def owned_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", OWNER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "mine\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_folder_is_made_and_its_files_lie_in_it(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "b")
    assert folder.path.is_dir()
    assert folder.ledger.parent == folder.vectors.parent == folder.path
    folder.release()


def test_a_folder_of_another_process_is_refused_by_its_number_until_that_is_killed(tmp_path: Path) -> None:
    with owned_by_another_process(tmp_path) as process:
        with pytest.raises(DataFolderBusy, match=f"process {process.pid}") as caught:
            DataFolder(tmp_path)
        assert "ANSWERBOX_DATA_DIR" in (caught.value.hint or "")
    DataFolder(tmp_path).release()


def test_two_in_one_process_are_refused_too(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with pytest.raises(DataFolderBusy, match=str(os.getpid())):
        DataFolder(tmp_path)
    folder.release()
    DataFolder(tmp_path).release()


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(SetupError, match="cannot be used"):
        DataFolder(tmp_path / "data")

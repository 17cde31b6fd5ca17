"""The notebooks run from top to bottom, show what they promise, and leave nothing running."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from tests.live import wait_until

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = ("prototype.ipynb", "service.ipynb")
CELL_LIMIT_S = 300
END_LIMIT_S = 60.0
MARK = "NOTEBOOK_TEST_RUN"


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every process that a kernel starts carries a mark in its environment; afterwards there is none."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    yield
    try:
        wait_until(lambda: not marked(mark), END_LIMIT_S, "every process of the notebook has ended")
    finally:
        for process in marked(mark):
            process.kill()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a copy of `notebooks/` in it."""
    shutil.copytree(FOLDER, tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def marked(mark: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and has(process, mark)]


def has(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(MARK) == mark)
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return False


def load(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def execute(notebook: Any, folder: Path) -> Any:
    """Raises CellExecutionError where a cell fails."""
    NotebookClient(
        notebook,
        timeout=CELL_LIMIT_S,
        kernel_name="python3",
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: Any) -> str:
    """The text of all outputs."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "\n".join(text for output in outputs for text in texts(output))


def texts(output: Any) -> list[str]:
    return [output.text] if output.output_type == "stream" else [str(text) for text in output.get("data", {}).values()]


def check_prototype(notebook: Any) -> None:
    text = shown(notebook)
    assert "'The badge of a visitor is green.' ['visitors']" in text
    assert "'The documents do not tell.' []" in text
    assert "ValueError: question: is empty" in text


def check_service(notebook: Any) -> None:
    text = shown(notebook)
    assert "202 succeeded 6 of 6" in text
    assert re.search(r"visitor\?\n    '.*green.*' \w+ \['visitors'\]", text)
    assert re.search(r"пропуск\?\n    '.*1122.*' quoted \['propusk'\]", text)
    assert "'The documents do not tell.' refused []" in text
    assert "UnprocessableEntity: invalid_request" in text
    assert "422 application/problem+json\n    code: invalid_request" in text
    assert re.findall(r"\| (\w+) \|$", text, re.MULTILINE) == ["agree"] + ["yes"] * 7
    assert "All 7 agree." in text
    assert text.endswith("stopped\n")


def test_prototype_runs_from_the_root(copy: Path) -> None:
    check_prototype(execute(load(FOLDER / "prototype.ipynb"), copy))


def test_service_runs_from_its_folder(copy: Path) -> None:
    check_service(execute(load(FOLDER / "service.ipynb"), copy / "notebooks"))


def test_service_stops_when_a_cell_fails(copy: Path) -> None:
    notebook = load(FOLDER / "service.ipynb")
    started = next(place for place, cell in enumerate(notebook.cells) if "service, url = start()" in cell.source)
    notebook.cells[started + 1 :] = [new_code_cell("assert service.poll() is None\n1 / 0")]
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook, copy)


def test_run_model_works_inside_a_running_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSWERBOX_GENERATOR_MODEL", "fake")
    monkeypatch.setenv("ANSWERBOX_EMBEDDER_MODEL", "fake")
    monkeypatch.setenv("ANSWERBOX_SEED_DOCS", "false")
    monkeypatch.setenv("ANSWERBOX_DATA_DIR", str(tmp_path / "data"))
    cells = [
        "import asyncio\nfrom answerbox.run import run_model\nassert asyncio.get_running_loop().is_running()",
        'print(run_model({"question": "Hello?"}, "llm")["meta"]["finish_reason"])',
        'print(run_model({"question": "Who?"})["meta"]["finish_reason"])',
        'print((await asyncio.to_thread(run_model, {"question": "Who?"}))["meta"]["finish_reason"])',
    ]
    notebook = execute(new_notebook(cells=[new_code_cell(cell) for cell in cells]), tmp_path)
    assert shown(notebook).split() == ["stop", "refused", "refused"]


@pytest.mark.parametrize("name", NAMES)
def test_saved_outputs_are_of_one_clean_run(name: str) -> None:
    notebook = load(FOLDER / name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {(output.output_type, output.get("name")) for cell in cells for output in cell.outputs}
    assert kinds <= {("stream", "stdout"), ("execute_result", None)}
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert not re.search(r"/(tmp|root|home|work|Users|var)/|Warning|it/s\]", text)


def test_saved_outputs_show_what_they_promise() -> None:
    check_prototype(load(FOLDER / "prototype.ipynb"))
    check_service(load(FOLDER / "service.ipynb"))


def test_prototype_names_files_that_exist() -> None:
    last = load(FOLDER / "prototype.ipynb").cells[-1].source
    named = re.findall(r"`([\w/]+\.py)`", last.partition("A `run_model` of your own")[0])
    assert named
    assert [name for name in named if not (ROOT / "src" / "answerbox" / name).is_file()] == []

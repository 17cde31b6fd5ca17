"""The package that is written: its files, what goes along, what is never written over, and how it is tried."""

from __future__ import annotations

import ast
import json
import shutil
import tomllib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from answerbox.errors import SetupError
from answerbox.porting import package as packages
from answerbox.porting.calling import answer_of
from answerbox.porting.notebook import read
from answerbox.porting.package import Package, package_name, package_of, write
from answerbox.porting.pins import closure
from answerbox.porting.trial import try_package
from tests.unit.porting.kit import ANSWERED, CALL, RUN_MODEL, cell, notebook, saved

LIMIT_S = 120.0


@pytest.fixture
def small_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answerbox's source is two megabytes; a test of something else copies one file."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "__init__.py").write_text("")
    monkeypatch.setattr(packages, "SOURCE", source)


@pytest.fixture(autouse=True)
def few_pins(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "small_source" in request.fixturenames:
        monkeypatch.setattr(packages, "closure", lambda names: dict.fromkeys(names, "1.0"))


def ported(tmp_path: Path, *cells: object, name: str = "mine") -> Package:
    return write(notebook(tmp_path, *cells), tmp_path / "out", name)


def pipeline(package: Package) -> str:
    return (package.folder / "src" / package.name / "pipeline.py").read_text()


@pytest.mark.usefixtures("small_source")
def test_the_package_has_what_serving_testing_and_building_need(tmp_path: Path) -> None:
    package = ported(tmp_path, "import typer", RUN_MODEL, cell(CALL, outputs=[ANSWERED]))
    files = {path.relative_to(package.folder).as_posix() for path in package.folder.rglob("*") if path.is_file()}
    assert files == {
        ".bentoignore",
        "README.md",
        "bentofile.yaml",
        "pyproject.toml",
        "requirements.txt",
        "src/answerbox/__init__.py",
        "src/mine/__init__.py",
        "src/mine/pipeline.py",
        "src/mine/service.py",
        "tests/examples.json",
        "tests/test_examples.py",
    }
    project = tomllib.loads((package.folder / "pyproject.toml").read_text())
    assert project["project"]["dependencies"] == ["typer==1.0"]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/mine", "src/answerbox"]
    assert (package.folder / "requirements.txt").read_text().splitlines()[1:] == ["typer==1.0"]
    assert yaml.safe_load((package.folder / "bentofile.yaml").read_text())["service"] == "mine.service:Answerbox"
    for file in package.folder.rglob("*.py"):
        ast.parse(file.read_text())
    assert package_of(package.folder).target == "mine.service:Answerbox"
    rows = json.loads((package.folder / "tests" / "examples.json").read_text())
    assert rows == [{"request": {"question": "Why?"}, "shape": {"answer": "str"}}]


@pytest.mark.usefixtures("small_source")
def test_the_code_is_that_of_the_cells_in_their_order(tmp_path: Path) -> None:
    package = ported(tmp_path, "%pip install typer\nimport json", "print(1)\nx?", f"{RUN_MODEL}\n\n{CALL}", "after = 1")
    assert pipeline(package) == (
        '"""The cells of mine.ipynb."""\n\n'
        "# cell 1\n# %pip install typer\nimport json\n\n"
        "# cell 2\nprint(1)\n# x?\n\n"
        f"# cell 3\n{RUN_MODEL}\n\npass  # {CALL}\n"
    )


@pytest.mark.usefixtures("small_source")
def test_future_imports_come_first(tmp_path: Path) -> None:
    package = ported(tmp_path, "import json", "from __future__ import annotations\nx = 1", RUN_MODEL)
    compile(pipeline(package), "pipeline.py", "exec", dont_inherit=True)
    assert pipeline(package).count("__future__") == 1


@pytest.mark.usefixtures("small_source")
def test_files_beside_the_notebook_go_along_and_are_found_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "слова.txt").write_text("x")
    (tmp_path / "helpers.py").write_text("import more\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "__init__.py").write_text("N = 1\n")
    (tmp_path / "other.txt").write_text("not named")
    code = 'import helpers\nд = open("data/слова.txt", encoding="utf-8").read(); n = {"data": "data"}'
    package = ported(tmp_path, code, RUN_MODEL)
    source = package.folder / "src"
    assert (source / "mine" / "data" / "слова.txt").read_text() == "x"
    assert (source / "helpers.py").is_file()
    assert (source / "more" / "__init__.py").is_file()
    assert not list(package.folder.rglob("other.txt"))
    assert 'open(str(_HERE / "data/слова.txt"), encoding="utf-8").read(); n = {"data": "data"}' in pipeline(package)


@pytest.mark.usefixtures("small_source")
def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    given = notebook(tmp_path, RUN_MODEL)
    kept = tmp_path / "out" / "kept.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    with pytest.raises(SetupError, match="not empty"):
        write(given, kept.parent, "mine")
    assert list(kept.parent.iterdir()) == [kept]
    write(given, kept.parent, "mine", force=True)
    assert kept.read_text() == "mine"


@pytest.mark.usefixtures("small_source")
def test_variables_of_the_environment_stand_in_the_readme(tmp_path: Path) -> None:
    code = "import os\na = os.environ['A_KEY']\nb = os.getenv('B_URL', '')"
    assert "- `A_KEY`\n- `B_URL`\n" in (ported(tmp_path, code, RUN_MODEL).folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("My Bot (final).ipynb", "my_bot_final"),
        ("2nd try.ipynb", "notebook_2nd_try"),
        ("Справочник.ipynb", "notebook"),
        ("typer.ipynb", "typer_service"),
        ("json.ipynb", "json_service"),
        ("class.ipynb", "class_service"),
    ],
)
def test_the_name_is_made_of_the_files_and_hides_no_module(tmp_path: Path, file: str, name: str) -> None:
    assert package_name(read(saved(tmp_path, RUN_MODEL, name=file)), None) == name


@pytest.mark.parametrize("name", ["answerbox", "json", "No", "a-b", "class", "typer"])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="cannot be named"):
        package_name(notebook(tmp_path, RUN_MODEL), name)


def test_a_folder_that_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is no package"):
        package_of(tmp_path)


def test_what_is_not_installed_cannot_be_pinned() -> None:
    with pytest.raises(SetupError, match="not installed"):
        closure(["nowhere-to-be-found"])
    assert closure(["typer"])["typer"]


def _plain(request: dict[str, str]) -> object:
    return {"answer": request["question"]}


async def _awaited(request: dict[str, str]) -> object:
    return _plain(request)


def _pieces(request: dict[str, str]) -> Iterator[object]:
    yield "a"
    yield request["question"]
    yield {"n": 1}


async def _later(request: dict[str, str]) -> AsyncIterator[object]:
    for piece in _pieces(request):
        yield piece


@pytest.mark.parametrize(
    ("run_model", "response"),
    [
        (_plain, {"answer": "b"}),
        (_awaited, {"answer": "b"}),
        (_pieces, {"answer": "ab", "n": 1}),
        (_later, {"answer": "ab", "n": 1}),
    ],
    ids=["function", "async", "generator", "async-generator"],
)
def test_every_kind_of_run_model_is_called(run_model: object, response: dict[str, object]) -> None:
    assert answer_of(run_model, {"question": "b"}) == response  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [None, "text", {"text": "x"}, {"answer": 1}, iter([1])])
def test_another_result_is_refused(made: object) -> None:
    with pytest.raises(TypeError, match="run_model"):
        answer_of(lambda _: made, {})


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages are tried with the Answerbox that is tested, which is not copied."""
    monkeypatch.setenv("PYTHONPATH", str(Path(packages.__file__).parents[2]))


def light(tmp_path: Path, *cells: object) -> Package:
    package = ported(tmp_path, *cells)
    shutil.rmtree(package.folder / "src" / "answerbox")
    return package


@pytest.mark.usefixtures("small_source", "beside")
def test_a_package_that_works_passes_its_trial(tmp_path: Path) -> None:
    package = light(tmp_path, RUN_MODEL, cell(CALL, outputs=[ANSWERED]))
    assert try_package(package, LIMIT_S) == []


@pytest.mark.usefixtures("small_source", "beside")
@pytest.mark.parametrize(
    ("code", "found"),
    [
        pytest.param("1 / 0", ["import"], id="an-import-that-fails"),
        pytest.param("import os\nos._exit(3)", ["import"], id="an-import-that-ends-the-process"),
        pytest.param("open('beside.txt')", ["import"], id="a-file-that-only-the-author-has"),
        pytest.param("def run_model(request): return {'answer': 1}", ["answer"], id="no-text"),
        pytest.param("def run_model(request): return {'answer': 'x', 'm': {1, 2}}", ["answer"], id="no-json"),
        pytest.param("def run_model(request): raise ValueError('x')", ["answer"], id="an-exception"),
        pytest.param("def run_model(request): raise SystemExit(1)", ["answer"], id="an-exit"),
        pytest.param("import os\ndef run_model(request): os._exit(1)", ["answer"], id="the-end-of-the-process"),
    ],
)
def test_what_fails_in_its_trial_is_told(tmp_path: Path, code: str, found: list[str]) -> None:
    package = light(tmp_path, RUN_MODEL, CALL)
    (package.folder / "src" / "mine" / "pipeline.py").write_text(f"{RUN_MODEL}\n{code}\n")
    assert [one.code for one in try_package(package, LIMIT_S)] == found


@pytest.mark.usefixtures("small_source", "beside")
def test_an_answer_of_another_form_is_told(tmp_path: Path) -> None:
    shown = {"output_type": "execute_result", "data": {"text/plain": "{'answer': 'x', 'score': 1}"}}
    package = light(tmp_path, RUN_MODEL, cell(CALL, outputs=[shown]))
    assert [one.code for one in try_package(package, LIMIT_S)] == ["other_form"]


@pytest.mark.usefixtures("small_source", "beside")
def test_a_trial_has_an_end(tmp_path: Path) -> None:
    package = light(tmp_path, "while True: pass", RUN_MODEL, CALL)
    assert [one.code for one in try_package(package, limit_s=2)] == ["import"]

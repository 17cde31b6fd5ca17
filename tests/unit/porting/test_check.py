"""Each finding of the check, from the cells that it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from answerbox.porting import check as checks
from answerbox.porting.findings import Severity
from tests.unit.porting.kit import ANSWERED, CALL, RUN_MODEL, cell, findings, notebook, said

REQUEST = "def run_model(request):\n    {}\n    return {{'answer': 'x'}}"
ASYNC = "async def run_model(request):\n    {}\n    return {{'answer': 'x'}}"


def test_a_sound_notebook_has_no_finding(tmp_path: Path) -> None:
    whole = notebook(
        tmp_path,
        cell("import json\nfrom math import sqrt", executed=1),
        cell("N = [sqrt(i) for i in range(3)]\n\ndef h(x):\n    return json.dumps(x) + str(N)", executed=2),
        cell(RUN_MODEL.replace('request["question"]', 'h(request["question"])'), executed=3),
        cell(CALL, executed=4, outputs=[ANSWERED]),
    )
    assert checks.check(whole) == []


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param("a = 1", "no_run_model", id="none"),
        pytest.param("def run_model(): return 1", "signature", id="no-argument"),
        pytest.param("def run_model(a, b): return 1", "signature", id="two"),
        pytest.param("def run_model(a, *, b): return 1", "signature", id="a-named-one"),
        pytest.param("def run_model(a): print(a)", "signature", id="returns-nothing"),
        pytest.param("def run_model(a):\n    def f(): return 1", "signature", id="only-an-inner-one-returns"),
    ],
)
def test_run_model_must_be_there_and_take_a_request(tmp_path: Path, source: str, code: str) -> None:
    assert (code, "error") in [one[:2] for one in said(tmp_path, source)]


@pytest.mark.parametrize(
    "source", ["def run_model(a, b=1): return b", "def run_model(*a): yield 'x'", "run_model = len"]
)
def test_other_forms_of_run_model_are_taken(tmp_path: Path, source: str) -> None:
    assert said(tmp_path, source) == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("input('?')", ("input", "error"), id="input"),
        pytest.param("exit()", ("exit", "error"), id="exit"),
        pytest.param("os.chdir('x')", ("chdir", "error"), id="chdir"),
        pytest.param("asyncio.run(f())", ("event_loop", "warning"), id="a-loop-of-its-own"),
        pytest.param("time.sleep(1)", ("sleep", "warning"), id="sleep"),
        pytest.param("print(request)", ("print", "warning"), id="print"),
        pytest.param("CACHE.append(request)", ("shared_state", "warning"), id="a-list-of-all"),
        pytest.param("CACHE[0] = request", ("shared_state", "warning"), id="an-item-of-it"),
        pytest.param("global COUNT; COUNT += 1", ("shared_state", "warning"), id="global"),
        pytest.param("m.to('cuda')", ("gpu", "warning"), id="gpu"),
        pytest.param("m.cuda()", ("gpu", "warning"), id="gpu-by-method"),
        pytest.param("plt.show()", ("plot", "warning"), id="plot"),
    ],
)
def test_what_a_request_must_not_do(tmp_path: Path, statement: str, expected: tuple[str, str]) -> None:
    before = "import os, asyncio, time\nCACHE = [0]\nCOUNT = 0\nm = plt = f = None"
    assert said(tmp_path, before, REQUEST.format(statement)) == [(*expected, "cell 2, line 2")]


@pytest.mark.parametrize(
    "statement", ["mine = []; mine.append(1)", "request['x'] = 1", "d = 'cuda' if is_available() else 'cpu'; m.to(d)"]
)
def test_what_is_a_requests_own_is_no_finding(tmp_path: Path, statement: str) -> None:
    assert said(tmp_path, "m = is_available = None", REQUEST.format(statement)) == []


@pytest.mark.parametrize(
    ("statement", "code"), [("asyncio.run(f())", "event_loop"), ("time.sleep(1)", "sleep")], ids=["loop", "sleep"]
)
def test_an_async_run_model_must_not_block_the_loop(tmp_path: Path, statement: str, code: str) -> None:
    found = said(tmp_path, "import asyncio, time\nf = None", ASYNC.format(statement))
    assert found == [(code, "error", "cell 2, line 2")]


def test_what_run_model_calls_is_looked_at_and_what_it_does_not_is_not(tmp_path: Path) -> None:
    helpers = "def used(): input()\ndef unused(): input()"
    assert said(tmp_path, helpers, REQUEST.format("used()")) == [("input", "error", "cell 1, line 1")]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        pytest.param("requests.get('https://example.org')", ("network", "warning"), id="network"),
        pytest.param("M.from_pretrained('org/model')", ("download", "warning"), id="model"),
        pytest.param("def f(): return requests.get('x')\nf()", ("network", "warning"), id="in-a-function-it-calls"),
        pytest.param("name = input()", ("input", "error"), id="input"),
        pytest.param("print('ready')", ("print", "warning"), id="print"),
        pytest.param("os.chdir('x')", ("chdir", "error"), id="chdir"),
        pytest.param("from .helpers import x", ("relative_import", "error"), id="relative-import"),
        pytest.param("from math import *", ("star_import", "warning"), id="star"),
        pytest.param("get_ipython()", ("notebook_only", "error"), id="ipython"),
    ],
)
def test_what_the_start_must_not_do(tmp_path: Path, statement: str, expected: tuple[str, str]) -> None:
    found = said(tmp_path, "import os\nrequests = M = None", statement, RUN_MODEL)
    assert expected in [one[:2] for one in found]
    assert {one[2].split(",")[0] for one in found} == {"cell 2"}


def test_a_folder_beside_is_no_model_of_a_hub(tmp_path: Path) -> None:
    assert said(tmp_path, "M = None\nM.from_pretrained('./model')", RUN_MODEL) == []


def test_a_name_that_another_cell_defines_says_which(tmp_path: Path) -> None:
    cells = cell("a = limit", "export"), "limit = 3", cell(RUN_MODEL, "export")
    found = findings(tmp_path, *cells)
    assert [(one.code, one.place) for one in found] == [("undefined", "cell 1, line 1")]
    assert "Cell 2 defines it" in found[0].hint


def test_a_name_of_a_deleted_cell_is_told(tmp_path: Path) -> None:
    found = findings(tmp_path, REQUEST.format("x = [gone for _ in (1, 2)]"))
    assert [one.message for one in found] == ["`gone` is used, and no exported cell before it defines it."]
    assert "No cell of the notebook does" in found[0].hint


def test_functions_may_use_what_a_later_cell_defines(tmp_path: Path) -> None:
    assert said(tmp_path, "def f(): return later", "later = 1", REQUEST.format("f()")) == []
    assert said(tmp_path, "f = later", "later = 1", REQUEST.format("f()"))[0][0] == "undefined"


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    x: int = 1\n    def f(self): return self.x + A.x",
        "with open(__name__) as f: t = f\nu = t, f",
        "try:\n    import json as j\nexcept ImportError as exc:\n    j = None\nj",
        "if (n := 3) > 2:\n    m = [n * i for i in range(n)]\nm",
        "for i, (a, b) in {}.items(): c = a + b\nc = lambda q, *r, **s: (q, r, s)",
        "match 3:\n    case int(v): w = v",
        "def g():\n    global made\n    made = 1\nr = lambda: made",
    ],
)
def test_every_way_to_bind_a_name_is_known(tmp_path: Path, source: str) -> None:
    assert "undefined" not in [one[0] for one in said(tmp_path, source, RUN_MODEL)]


def test_cells_that_were_run_in_another_order_are_told(tmp_path: Path) -> None:
    cells = cell("a = 1", executed=5), cell("b = 2", executed=3), cell(RUN_MODEL)
    assert said(tmp_path, *cells) == [("order", "warning", "cell 2"), ("order", "warning", "cell 3")]


@pytest.mark.parametrize("source", ["def f(:", "x = await f()", "return 1", "x = !ls", "a\x00b"])
def test_what_only_a_notebook_takes_is_an_error(tmp_path: Path, source: str) -> None:
    found = findings(tmp_path, f"f = None\n{source}", RUN_MODEL)
    assert [one for one in found if one.severity is Severity.error and one.cell == 1]


def test_modules_that_are_not_here_are_told(tmp_path: Path) -> None:
    found = said(tmp_path, "%pip install nowhere-to-be-found\nimport json, no_such_module.part", RUN_MODEL)
    assert found == [("not_installed", "error", "cell 1"), ("not_installed", "error", "cell 1, line 2")]


def test_another_version_than_the_notebooks_is_told(tmp_path: Path) -> None:
    assert said(tmp_path, "%pip install typer==0.0.1", RUN_MODEL) == [("requirement", "warning", "cell 1")]
    assert said(tmp_path, "%pip install git+https://example.org/x", RUN_MODEL)[0][:2] == ("requirement", "warning")


def test_a_module_beside_the_notebook_is_taken_along_and_looked_at(tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text("import more\n")
    (tmp_path / "more.py").write_text("import no_such_module\n")
    assert said(tmp_path, "import helpers", RUN_MODEL) == [("not_installed", "error", "cell 1, line 1")]


@pytest.mark.parametrize(
    "source",
    ["p = '/Users/ada/x.csv'", "p = '/home/ada/x.csv'", "p = r'C:\\data\\x.csv'", "p = '~/x.csv'", "p = '/content/x'"],
)
def test_paths_of_the_authors_machine_are_errors(tmp_path: Path, source: str) -> None:
    assert said(tmp_path, source, RUN_MODEL) == [("authors_path", "error", "cell 1, line 1")]


def test_other_whole_paths_are_told(tmp_path: Path) -> None:
    assert said(tmp_path, 'p = "/mnt/share/x.csv"', RUN_MODEL) == [("absolute_path", "warning", "cell 1, line 1")]
    assert said(tmp_path, "from pathlib import Path\nPath.home()", RUN_MODEL)[0][:2] == ("authors_path", "warning")


@pytest.mark.parametrize("call", ['open("none.txt")', 'Path("none.txt").read_text()', 'pd.read_csv("none.csv")'])
def test_files_that_are_not_there_are_errors(tmp_path: Path, call: str) -> None:
    assert said(tmp_path, f"Path = pd = None\n{call}", RUN_MODEL) == [("no_file", "error", "cell 1, line 2")]


def test_files_that_are_there_or_on_the_network_are_none(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("x")
    assert said(tmp_path, 'pd = None\nopen("there.txt")\npd.read_csv("https://example.org/x.csv")', RUN_MODEL) == []


def test_the_mode_of_a_path_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "there.txt").write_text("x")
    opened = 'Path("there.txt").open("r"); path = Path("there.txt"); path.open("rb")'
    assert said(tmp_path, f"from pathlib import Path\n{opened}", RUN_MODEL) == []
    assert said(tmp_path, 'Path = len\nPath("new.txt").open("w")', RUN_MODEL)[0][:2] == ("writes", "warning")


def test_a_file_that_is_written_is_told(tmp_path: Path) -> None:
    assert said(tmp_path, 'open("log.txt", "a")', RUN_MODEL) == [("writes", "warning", "cell 1, line 1")]


def test_a_large_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big.bin").write_bytes(b"x" * 2048)
    monkeypatch.setattr("answerbox.porting.files.LARGE", 1024)
    assert said(tmp_path, 'open("big.bin")', RUN_MODEL) == [("large_file", "warning", "cell 1, line 1")]


def test_examples_are_looked_at(tmp_path: Path) -> None:
    none = notebook(tmp_path, RUN_MODEL)
    assert [one.code for one in checks.check(none)] == ["no_example"]
    lacking = notebook(tmp_path, RUN_MODEL, "run_model({'text': 'x'})", CALL)
    assert [(one.code, one.cell) for one in checks.check(lacking)] == [("no_question", 2), ("no_output", 3)]

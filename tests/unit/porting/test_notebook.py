"""A notebook as it is read: which cells are exported, what of IPython is taken out, which calls are examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from answerbox.errors import SetupError
from answerbox.porting.examples import Example, differences, examples, shape_of
from answerbox.porting.magics import clean, requirements
from answerbox.porting.notebook import read
from tests.unit.porting.kit import ANSWERED, CALL, RUN_MODEL, cell, notebook, saved


def test_without_tags_all_cells_up_to_run_model_are_exported(tmp_path: Path) -> None:
    found = notebook(tmp_path, "a = 1", RUN_MODEL, "b = 2")
    assert [one.number for one in found.exported] == [1, 2]


def test_the_last_definition_of_run_model_counts(tmp_path: Path) -> None:
    assert len(notebook(tmp_path, RUN_MODEL, "a = 1", RUN_MODEL, CALL).exported) == 3


def test_with_tags_only_tagged_cells_are_exported(tmp_path: Path) -> None:
    found = notebook(tmp_path, cell("a = 1", "export"), "a = 2", cell(RUN_MODEL, "export", "slow"))
    assert [one.number for one in found.exported] == [1, 3]


def test_only_code_cells_with_something_in_them_are_counted(tmp_path: Path) -> None:
    words = {"cell_type": "markdown", "source": "# words", "metadata": {}}
    assert [one.number for one in notebook(tmp_path, words, "a = 1", " \n", "b = 2").cells] == [1, 2]


def test_a_run_model_that_is_assigned_is_one(tmp_path: Path) -> None:
    assert len(notebook(tmp_path, "class A: ...", "run_model = A().answer", CALL).exported) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("not json", "is no notebook", id="text"),
        pytest.param("[1]", "is no notebook", id="list"),
        pytest.param('{"nbformat": 3, "cells": []}', "has notebook format 3", id="old"),
        pytest.param(
            '{"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "R"}}}', "written in R", id="R"
        ),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.ipynb"
    path.write_text(text)
    with pytest.raises(SetupError, match=message):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read(tmp_path / "none.ipynb")


def test_a_source_that_is_one_text_is_read_too(tmp_path: Path) -> None:
    path = saved(tmp_path, RUN_MODEL)
    data = json.loads(path.read_text())
    data["cells"][0]["source"] = RUN_MODEL
    path.write_text(json.dumps(data))
    assert read(path).cells[0].code == RUN_MODEL


@pytest.mark.parametrize(
    ("source", "code"),
    [
        pytest.param("%pip install -q a b==1\nx = 1", "# %pip install -q a b==1\nx = 1", id="install"),
        pytest.param("%%time\nx = 1", "# %%time\nx = 1", id="a-cell-magic-that-leaves-python"),
        pytest.param("%%bash\nls", "# %%bash\n# ls", id="another-language"),
        pytest.param("if 1:\n    !ls\nx = 1", "if 1:\n    pass  # !ls\nx = 1", id="inside-a-block"),
        pytest.param("x = 5\nx?", "x = 5\n# x?", id="help"),
        pytest.param("x = 7\ny = (x\n% 4)", "x = 7\ny = (x\n% 4)", id="a-remainder-is-no-magic"),
        pytest.param("display(1)\nx = 2", "pass  # display(1)\nx = 2", id="display"),
        pytest.param("display(\n  1,\n)", "pass  # display(\n# 1,\n# )", id="display-of-several-lines"),
        pytest.param("files = !ls", "pass  # files = !ls", id="shell-that-gives-a-value"),
    ],
)
def test_what_is_ipython_is_taken_out_and_lines_stay(source: str, code: str) -> None:
    found = clean(source, 1)
    assert found.code == code
    assert found.tree is not None


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("-q numpy pandas==2.1", ["numpy", "pandas==2.1"]),
        ("--index-url https://example.org/simple torch", ["torch"]),
        ("'httpx>=0.28'  # newer", ["httpx>=0.28"]),
        ("-U pip && echo done", ["pip"]),
    ],
)
def test_what_pip_is_told_to_install_is_read(arguments: str, found: list[str]) -> None:
    assert requirements(arguments) == found


def test_calls_with_a_dict_written_out_are_examples_once(tmp_path: Path) -> None:
    found = notebook(
        tmp_path,
        RUN_MODEL,
        CALL,
        f"print({CALL})",
        "q = 'x'\nrun_model({'question': q})",
        "def later():\n    run_model({'question': 'never'})",
        "await run_model({'question': 'Who?', 'top_k': 2})",
    )
    assert [(one.request, one.cell) for one in examples(found)] == [
        ({"question": "Why?"}, 2),
        ({"question": "Who?", "top_k": 2}, 6),
    ]


def test_over_http_what_is_no_field_of_a_request_is_a_parameter() -> None:
    example = Example({"question": "Who?", "user_id": "ada", "top_k": 2}, None, 1, 1)
    assert example.body == {"question": "Who?", "user_id": "ada", "parameters": {"top_k": 2}}


def _stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


@pytest.mark.parametrize(
    ("source", "output", "shape"),
    [
        pytest.param(CALL, ANSWERED, {"answer": "str"}, id="result"),
        pytest.param(
            f"print({CALL})", _stream("{'answer': 'a', 'n': 1}\n"), {"answer": "str", "n": "number"}, id="print"
        ),
        pytest.param(
            f"print(json.dumps({CALL}))",
            _stream('{"answer": "a", "ok": true}'),
            {"answer": "str", "ok": "bool"},
            id="json",
        ),
        pytest.param(f'{CALL}["score"]', _stream("0.5"), {"score": "number"}, id="one-key"),
        pytest.param(f'print({CALL}["answer"])', _stream("plain words\n"), {"answer": "str"}, id="words"),
        pytest.param(f"list({CALL})", _stream("['a ', {'n': []}]"), {"answer": "str", "n": []}, id="generator"),
        pytest.param(f"len({CALL})", _stream("1"), None, id="something-else"),
        pytest.param(f"r = {CALL}", None, None, id="nothing-shown"),
    ],
)
def test_the_form_of_an_answer_is_read_from_the_output(
    tmp_path: Path, source: str, output: dict[str, Any] | None, shape: Any
) -> None:
    found = notebook(tmp_path, RUN_MODEL, cell(source, outputs=[output] if output else []))
    assert [one.shape for one in examples(found)] == [shape]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param({"answer": "x", "n": 2, "more": 1}, [], id="same"),
        pytest.param({"answer": "x", "n": 2.5}, [], id="a-number-is-a-number"),
        pytest.param({"answer": "x"}, ["response has no 'n'"], id="lacks-a-key"),
        pytest.param({"answer": "x", "n": "2"}, ["response['n'] is str, not number"], id="another-type"),
        pytest.param(["x"], ["response is no dict"], id="no-dict"),
    ],
)
def test_another_form_is_told(value: Any, found: list[str]) -> None:
    assert differences(shape_of({"answer": "a", "n": 1}), value) == found


def test_lists_are_compared_by_their_first_items() -> None:
    shape = shape_of([{"id": "a"}])
    assert differences(shape, []) == []
    assert differences(shape, [{"id": 1}]) == ["response[0]['id'] is number, not str"]
    assert differences(shape_of([]), [1]) == differences(shape_of(None), "x") == []

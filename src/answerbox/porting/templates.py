"""The texts of a written package, as few and as plain as they can be."""

from __future__ import annotations

import json
from typing import Any

IGNORED = "tests/\n__pycache__/\n.env\n"


def service(name: str) -> str:
    return f'''"""What `bentoml serve` runs: Answerbox, in which this package answers /custom_query."""

import os

os.environ.setdefault("ANSWERBOX_CUSTOM_PIPELINE", "{name}.pipeline:run_model")
os.environ.setdefault("ANSWERBOX_PIPELINES", '["custom"]')  # so none of Answerbox's own models is started

from answerbox.service import Answerbox  # noqa: E402

__all__ = ["Answerbox"]
'''


def pyproject(name: str, pins: dict[str, str], packages: list[str]) -> str:
    wanted = "".join(f'    "{distribution}=={version}",\n' for distribution, version in pins.items())
    dependencies = f"[\n{wanted}]" if wanted else "[]"
    folders = ", ".join(f'"src/{package}"' for package in packages)
    return f"""[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name.replace("_", "-")}"
version = "0.1.0"
requires-python = ">=3.11"
# What the notebook imports. requirements.txt has that and what Answerbox needs, all of it pinned.
dependencies = {dependencies}

[tool.hatch.build.targets.wheel]
packages = [{folders}]

[tool.pytest.ini_options]
pythonpath = ["src"]
testpaths = ["tests"]
"""


def requirements(pins: dict[str, str]) -> str:
    head = "# What the notebook imports and Answerbox needs, direct and transitive, as installed where it was ported.\n"
    return head + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def bentofile(name: str) -> str:
    return f"""service: "{name}.service:Answerbox"
name: {name}
description: "file: ./README.md"
include:
  - "/src/**/*"
  - "/README.md"
  - "/requirements.txt"
exclude:
  - "**/__pycache__/"
python:
  requirements_txt: requirements.txt
  lock_packages: false   # requirements.txt is the lock
  is_src_layout: true
"""


def examples_json(rows: list[tuple[dict[str, Any], Any]]) -> str:
    found = [{"request": request, "shape": shape} for request, shape in rows]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def tests(name: str) -> str:
    return f'''"""The notebook's own calls, made anew: the same keys, values of the same types, and all of it JSON."""

import json
from pathlib import Path

import pytest
from {name}.pipeline import run_model

from answerbox.porting.calling import answer_of
from answerbox.porting.examples import differences

EXAMPLES = json.loads((Path(__file__).parent / "examples.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["request"].get("question", "")[:40] for example in EXAMPLES])
def test_the_answer_has_the_form_of_the_notebooks(example):
    response = answer_of(run_model, example["request"])
    assert response["answer"].strip()
    assert json.loads(json.dumps(response)) == response
    assert differences(example["shape"], response) == []


def test_a_request_is_not_changed():
    for example in EXAMPLES:
        request = json.loads(json.dumps(example["request"]))
        answer_of(run_model, request)
        assert request == example["request"]
'''


def readme(name: str, notebook: str, body: dict[str, Any], variables: list[str]) -> str:
    request = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    asked = "".join(f"- `{variable}`\n" for variable in variables)
    needs = f"\nIt reads these environment variables:\n\n{asked}" if variables else ""
    return f"""# {name}

`{notebook}` as a service: its cells are `src/{name}/pipeline.py`, and its `run_model` answers `POST /custom_query`.
`src/answerbox` is [Answerbox](src/answerbox/__init__.py), which speaks HTTP; nothing in it needs a change.
{needs}
```console
$ pip install -r requirements.txt
$ PYTHONPATH=src bentoml serve {name}.service:Answerbox
$ curl -s http://127.0.0.1:3000/custom_query -H 'Content-Type: application/json' -d '{request}'
$ curl -sN http://127.0.0.1:3000/custom_query/stream -H 'Content-Type: application/json' -d '{request}'
$ pytest
$ PYTHONPATH=src bentoml build
$ bentoml serve {name}:latest
```

Members of the request that the notebook gives beside `question`, `context`, `user_id` and `session_id` stand in
`parameters`. What `run_model` returns beside `answer` stands in `meta.custom`.

Only that pipeline is served, and none of Answerbox's own models is needed. `ANSWERBOX_PIPELINES='["custom", "rag"]'`
serves `/rag_query` too, once `answerbox models pull` has fetched the models.

On a server: `ANSWERBOX_ENV=production`, and API keys (`PYTHONPATH=src python -m answerbox.cli.main keys create NAME`).
"""

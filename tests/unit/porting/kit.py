"""Notebooks for the tests, as Jupyter would have saved them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from answerbox.porting.check import check
from answerbox.porting.findings import Finding
from answerbox.porting.notebook import Notebook, read

RUN_MODEL = 'def run_model(request):\n    return {"answer": request["question"]}'
CALL = 'run_model({"question": "Why?"})'
ANSWERED: dict[str, Any] = {"output_type": "execute_result", "data": {"text/plain": "{'answer': 'Why?'}"}}


def cell(source: str, *tags: str, executed: int | None = None, outputs: list[dict[str, Any]] | None = None) -> Any:
    return {
        "cell_type": "code",
        "source": source.splitlines(keepends=True),
        "execution_count": executed,
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": outputs or [],
    }


def saved(folder: Path, *cells: Any, name: str = "mine.ipynb", **changes: Any) -> Path:
    """A notebook file with these cells; a text is the source of one."""
    path = folder / name
    whole = [cell(one) if isinstance(one, str) else one for one in cells]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": whole, **changes}))
    return path


def notebook(folder: Path, *cells: Any) -> Notebook:
    return read(saved(folder, *cells))


def findings(folder: Path, *cells: Any) -> list[Finding]:
    """What the check says of these cells, but for what it says of examples."""
    return [one for one in check(notebook(folder, *cells)) if one.code not in ("no_example", "no_output")]


def said(folder: Path, *cells: Any) -> list[tuple[str, str, str]]:
    """Code, severity and place of each finding."""
    return [(one.code, one.severity.value, one.place) for one in findings(folder, *cells)]

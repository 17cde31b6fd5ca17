"""answerbox doctor: what is wrong with the machine or the settings, and what to do about it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from answerbox.cli import checks
from answerbox.cli.checks import Finding, Status, failure
from answerbox.errors import AnswerboxError, SetupError
from answerbox.settings import Settings, load_settings

LIMIT_S = 10.0
STYLES = {Status.ok: "green", Status.warning: "yellow", Status.failure: "red"}

Check = Callable[[], Finding]


def run(host: str, port: int, as_json: bool, out: Console) -> int:
    """Shows what was found. Returns the exit code: 1 for any failure, else 0."""
    findings = examine(host, port)
    if as_json:
        rows = [{"check": name, **asdict(finding)} for name, finding in findings.items()]
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        out.print(_table(findings))
    return int(any(finding.status is Status.failure for finding in findings.values()))


def examine(host: str, port: int) -> dict[str, Finding]:
    """By the name of the check. With wrong settings only what does not depend on them is looked at."""
    wanted = dict(_of_machine(host, port))
    try:
        settings = load_settings()
        wanted = {"settings": partial(checks.right_settings, os.environ), **wanted, **dict(_of_settings(settings))}
    except SetupError as exc:
        wanted = {"settings": partial(checks.wrong_settings, exc, os.environ), **wanted}
    return {name: bounded(check) for name, check in wanted.items()}


def bounded(check: Check, limit_s: float = LIMIT_S) -> Finding:
    """What the check finds; a failure where it raises, or takes too long and is left behind."""
    found: list[Finding] = []
    thread = threading.Thread(target=lambda: found.append(_caught(check)), daemon=True)
    thread.start()
    thread.join(limit_s)
    return found[0] if found else failure(f"There was no result within {limit_s:g} s.", "Try again in a while.")


def _caught(check: Check) -> Finding:
    try:
        return check()
    except AnswerboxError as exc:
        return failure(exc.message, exc.hint or "")
    except BaseException as exc:  # a library may try to end the process
        return failure(f"The check itself failed: {type(exc).__name__}.", "Its words are left out: they may be secret.")


def _of_machine(host: str, port: int) -> Iterator[tuple[str, Check]]:
    yield "python", partial(checks.python, sys.version_info[:3])
    yield "cpu", lambda: checks.cpu(checks.usable_cores())
    yield "memory", lambda: checks.memory(checks.usable_memory())
    yield "port", partial(checks.port, host, port)


def _of_settings(settings: Settings) -> Iterator[tuple[str, Check]]:
    yield "data folder", partial(checks.data_folder, settings.data_dir)
    yield "data disk", partial(checks.disk, settings.data_dir, "ANSWERBOX_DATA_DIR")
    yield "model disk", lambda: checks.disk(checks.model_store_folder(), "BENTOML_HOME")
    for kind, tag in settings.models_here.items():
        yield kind, partial(checks.model, tag)
    yield "gpu", partial(checks.gpu, settings)
    if _may_need_openvino(settings):
        yield "openvino", partial(checks.openvino, settings)
    yield from _servers(settings)


def _may_need_openvino(settings: Settings) -> bool:
    models = settings.models_here
    return "embedder" in models or ("generator" in models and settings.engine in ("auto", "openvino"))


def _servers(settings: Settings) -> Iterator[tuple[str, Check]]:
    if settings.chroma_url:
        yield "chroma", partial(checks.chroma, settings.chroma_url)
    if settings.llm_base_url:
        key = settings.llm_api_key.get_secret_value().strip() if settings.llm_api_key else ""
        yield "llm server", partial(checks.llm_server, settings.llm_base_url, key, settings.llm_model)


def _table(findings: dict[str, Finding]) -> Table:
    table = Table("check", "status", "found", "what to do")
    for name, finding in findings.items():
        words = (Text(finding.found), Text(finding.hint))  # as they are: brackets are no markup
        table.add_row(name, Text(finding.status, style=STYLES[finding.status]), *words)
    return table

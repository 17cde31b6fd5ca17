"""answerbox check and port: a notebook of yours, looked over, and as a package that serves."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console

from answerbox.errors import SetupError
from answerbox.log_text import escaped
from answerbox.porting.check import check as look_over
from answerbox.porting.check import errors
from answerbox.porting.findings import Finding, Severity
from answerbox.porting.notebook import read
from answerbox.porting.package import Package, package_name, package_of, write
from answerbox.porting.trial import try_package

STYLES = {Severity.error: "red", Severity.warning: "yellow"}


def check(target: Path, limit_s: float, as_json: bool, out: Console) -> bool:
    """Whether there is no error. A notebook is read only; a package is run.

    Raises: SetupError where the target is neither.
    """
    findings = try_package(package_of(target), limit_s) if target.is_dir() else look_over(read(target))
    if as_json:
        typer.echo(json.dumps([asdict(found) for found in findings], indent=2, ensure_ascii=False))
    else:
        show(findings, out)
    return not errors(findings)


def port(notebook: Path, folder: Path, name: str | None, force: bool, out: Console) -> Package:
    """Raises: SetupError where the check finds an error, or the folder cannot be taken."""
    given = read(notebook)
    findings = look_over(given)
    if findings:
        show(findings, out)
    if wrong := errors(findings):
        raise SetupError(
            f"{notebook} is not ported: {_count(len(wrong), 'error')}.", hint="What to do stands below each."
        )
    package = write(given, folder, package_name(given, name), force)
    _say(out, f"{folder}: the package {package.name}; {_count(len(package.examples), 'example')} to test it by.")
    return package


def serve(package: Package, host: str, port: int) -> NoReturn:
    """Becomes `answerbox serve` for that package."""
    source = str((package.folder / "src").resolve())
    path = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
    env = {
        **os.environ,
        "PYTHONPATH": path,
        "ANSWERBOX_PIPELINES": os.environ.get("ANSWERBOX_PIPELINES", '["custom"]'),
        "ANSWERBOX_CUSTOM_PIPELINE": f"{package.name}.pipeline:run_model",
    }
    command = ["-m", "answerbox.cli.main", "serve", "--target", package.target, "--host", host, "--port", str(port)]
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *command], env)


def show(findings: list[Finding], out: Console) -> None:
    for found in findings:
        out.print(f"{found.severity.value:<8}", style=STYLES[found.severity], end="", highlight=False)
        _say(out, f"{found.place}: {found.message}")
        _say(out, f"        {found.hint}", style="dim")
    wrong = len(errors(findings))
    _say(out, f"{_count(wrong, 'error')}, {_count(len(findings) - wrong, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _say(out: Console, text: str, style: str = "") -> None:
    out.print(escaped(text), style=style, markup=False, highlight=False, soft_wrap=True)

"""One question to a running service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import typer

from answerbox.cli.answers import Screen, streamed_answer, whole_answer
from answerbox.client import Client
from answerbox.contracts import PipelineName

STDIN = "-"


def ask(
    client: Client, pipeline: PipelineName, question: str, fields: dict[str, Any], streams: bool, as_json: bool
) -> None:
    """Shows the answer. Raises: AnswerboxError, BadParameter."""
    question = _from_stdin() if question == STDIN else question
    if streams and not as_json:
        streamed_answer(client, pipeline, question, fields)
        return
    answer = whole_answer(client, pipeline, question, fields)
    if as_json:
        typer.echo(answer.model_dump_json(indent=2))
    else:
        Screen.of(pipeline).end(answer)


def context_of(text: str | None, file: Path | None) -> str | None:
    """Raises: BadParameter."""
    if file is None:
        return text
    if text is not None:
        raise typer.BadParameter("give --context or --context-file, not both")
    try:
        return file.read_text(encoding="utf-8")
    except OSError as exc:
        raise typer.BadParameter(f"{file} cannot be opened ({exc.strerror})") from exc
    except UnicodeDecodeError as exc:
        raise typer.BadParameter(f"{file} is no text in UTF-8") from exc


def parameters_of(text: str | None, pipeline: PipelineName) -> dict[str, Any] | None:
    """Raises: BadParameter."""
    if text is None:
        return None
    if pipeline != "custom":
        raise typer.BadParameter("--parameters goes with --pipeline custom")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise typer.BadParameter(f"--parameters is no JSON ({exc})") from exc
    if not isinstance(found, dict):
        raise typer.BadParameter('--parameters is no JSON object, such as {"city": "Berlin"}')
    return found


def _from_stdin() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as exc:
        raise typer.BadParameter("the question is no text in UTF-8") from exc

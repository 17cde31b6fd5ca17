"""The commands. One line for a failure, on stderr.

Exit codes: 0, done; 1, failed; 2, called wrongly; 75, failed, but the same may succeed later (EX_TEMPFAIL of
sysexits.h); 130, stopped with Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from answerbox import __version__
from answerbox.cli import keys, models
from answerbox.cli.ingest import ingest as ingest_paths
from answerbox.cli.parts import Part
from answerbox.cli.reindex import reindex as run_reindex
from answerbox.client import Client
from answerbox.contracts import PipelineName
from answerbox.errors import AnswerboxError
from answerbox.log_text import escaped

if TYPE_CHECKING:
    from answerbox.cli.in_langfuse import InLangfuse

app = typer.Typer(
    help="From a notebook with a language model to a running HTTP service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")

out = Console()
AGAIN = 75
Url = Annotated[str, typer.Option(envvar="ANSWERBOX_URL", help="Where the service runs.")]
Key = Annotated[str | None, typer.Option(envvar="ANSWERBOX_API_KEY", help="API key, where it asks for one.")]
Pipeline = Annotated[
    PipelineName,
    typer.Option("--pipeline", "-p", help="`llm`: the model alone; `rag`: from the documents; `agent`: step by step."),
]
UserId = Annotated[str | None, typer.Option(help="Who asks.")]
LOCAL = "http://127.0.0.1:3000"


@app.command()
def serve(
    host: Annotated[str, typer.Option(envvar="HOST")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 3000,
    part: Annotated[
        Part, typer.Option(help="One part as a service of its own; the gateway starts those that have no address.")
    ] = Part.gateway,
    target: Annotated[
        str | None,
        typer.Option(help="What `bentoml serve` runs: an import path or the tag of a Bento. None: the part."),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Let others on the network in without API keys.")] = False,
) -> None:
    """Check the machine, run `bentoml serve`, and say when it is ready."""
    from answerbox.cli.serve import run

    raise typer.Exit(run(host, port, part, target or part.target, open_))


@app.command()
def ingest(
    paths: list[Path],
    url: Url = LOCAL,
    key: Key = None,
    glob: Annotated[str | None, typer.Option(help="Of folders, only files that match: '*.md', 'manual/*'.")] = None,
    user_id: Annotated[str | None, typer.Option(help="Whose documents they are.")] = None,
) -> None:
    """Give files and folders to a running service, which reads and indexes them."""
    with Client(url, key) as client:
        failed = ingest_paths(client, paths, out, glob, user_id)
    raise typer.Exit(1 if failed else 0)


@app.command()
def reindex(url: Url = LOCAL, key: Key = None) -> None:
    """Make all vectors anew with the embedding model that is set now; the old ones serve until then."""
    with Client(url, key) as client:
        failed = run_reindex(client, out)
    raise typer.Exit(1 if failed else 0)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="`-`: read it from stdin.")],
    pipeline: Pipeline = "rag",
    context: Annotated[str | None, typer.Option(help="What you know already, as material for the answer.")] = None,
    context_file: Annotated[Path | None, typer.Option(help="The same, from a file.", metavar="FILE")] = None,
    user_id: UserId = None,
    url: Url = LOCAL,
    key: Key = None,
    stream: Annotated[bool, typer.Option(help="Whether words appear as they are made.")] = True,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole response as JSON, with its sources.")] = False,
) -> None:
    """Ask a running service; the answer is on stdout, its sources and an agent's steps are on stderr."""
    from answerbox.cli import ask as one

    given = {"context": one.context_of(context, context_file), "user_id": user_id}
    fields = {name: value for name, value in given.items() if value is not None}
    with Client(url, key) as client:
        one.ask(client, pipeline, question, fields, stream, json_)


@app.command()
def chat(pipeline: Pipeline = "agent", user_id: UserId = None, url: Url = LOCAL, key: Key = None) -> None:
    """Talk with a running service; /help there tells more."""
    from answerbox.cli.chat import Chat, run

    with Client(url, key) as client:
        run(Chat(client, pipeline, user_id))


@app.command("eval")
def evaluate(
    dataset: Annotated[
        Path | None,
        typer.Argument(
            help="A folder of documents.LANG.jsonl and questions.LANG.jsonl, perhaps with unanswerable.LANG.jsonl and "
            "attacks.LANG.jsonl."
        ),
    ] = None,
    url: Url = LOCAL,
    key: Key = None,
    poisoned: Annotated[
        bool, typer.Option("--poisoned", help="Instead of a folder: our own documents that try to take over answers.")
    ] = False,
    languages: Annotated[str | None, typer.Option(help="Only these: en,ru. None: all that there are.")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="At most so many of each kind and language.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = 4,
    ingest: Annotated[bool, typer.Option(help="Whether the documents are indexed first; else they are there.")] = True,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the documents in the service.")] = False,
    json_: Annotated[Path | None, typer.Option("--json", help="Write every question's row here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with figures, plots and wrong answers here.")] = None,
    compare: Annotated[Path | None, typer.Option(help="An earlier --json file, to compare with.")] = None,
    langfuse: Annotated[
        bool, typer.Option("--langfuse", help="Keep the run in Langfuse too, as a dataset with an experiment.")
    ] = False,
    langfuse_dataset: Annotated[
        str | None, typer.Option(help="Its name there, with -LANG after it. None: the folder's name.", metavar="NAME")
    ] = None,
    langfuse_run: Annotated[
        str | None, typer.Option(help="The experiment's name. None: the model and the time.", metavar="NAME")
    ] = None,
) -> None:
    """Measure how well a running service finds and answers, with questions whose answers are known."""
    from answerbox.cli.evaluate import Files
    from answerbox.cli.evaluate import evaluate as run
    from answerbox.evaluation.dataset import POISONED
    from answerbox.evaluation.run import Plan

    wanted = [code.strip() for code in languages.split(",") if code.strip()] if languages else None
    if (dataset is None) != poisoned:
        raise typer.BadParameter("name a folder, or give --poisoned")
    if (langfuse_dataset or langfuse_run) and not langfuse:
        raise typer.BadParameter("--langfuse-dataset and --langfuse-run go with --langfuse")
    kept = _in_langfuse(langfuse_dataset, langfuse_run) if langfuse else None
    plan = Plan(questions, questions, questions, questions, concurrency=concurrency)
    with Client(url, key, retry_s=0) as client:  # what fails is part of the result
        files = Files(json_, html, compare)
        failed = run(client, dataset or POISONED, wanted, plan, files, out, ingest, keep, kept)
    raise typer.Exit(1 if failed else 0)


def _in_langfuse(dataset: str | None, run: str | None) -> InLangfuse:
    """Raises: SetupError before anything is asked, where a setting is missing or wrong."""
    from answerbox.app import experiment_keeper
    from answerbox.cli.in_langfuse import InLangfuse
    from answerbox.settings import load_settings

    return InLangfuse(experiment_keeper(load_settings()), dataset, run)


@app.command()
def doctor(
    host: Annotated[str, typer.Option(envvar="HOST", help="Where it will serve.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PORT", min=1, max=65535)] = 3000,
    json_: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
) -> None:
    """Check the machine and the settings, and say what to do; exit code 1 for any failure."""
    from answerbox.cli.doctor import run

    raise typer.Exit(run(host, port, json_, out))


@app.command("trace-check")
def trace_check() -> None:
    """Send a trace to Langfuse or another backend, and say whether it arrives; exit code 1 where it does not."""
    from answerbox.cli.trace_check import run

    raise typer.Exit(run(out))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from answerbox.service.openapi import openapi as document

    typer.echo(json.dumps(document(), indent=2, ensure_ascii=False))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    try:
        app()
    except AnswerboxError as exc:
        typer.echo(f"answerbox: {escaped(str(exc))}", err=True)
        sys.exit(AGAIN if exc.retryable else 1)


if __name__ == "__main__":
    main()

"""answerbox models: pull | list."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from answerbox.errors import SetupError

app = typer.Typer(help="Models in BentoML's model store.", no_args_is_help=True)
out = Console()


class Kind(StrEnum):
    generator = "generator"
    embedder = "embedder"
    reranker = "reranker"


@app.command("pull")
def pull(
    hub_id: Annotated[
        str | None,
        typer.Argument(help="A model of the Hugging Face hub, such as Qwen/Qwen3-0.6B. None: the embedded pair."),
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What the model is for.")] = Kind.generator,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; the newest by default.")] = None,
    language: Annotated[
        list[str] | None, typer.Option(help="ISO code of a language it speaks; repeat it. None: any.")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="Generator: give it sentences, not passages, and check its rag answers.")
    ] = False,
    query_prefix: Annotated[str, typer.Option(help='Embedder: put before questions ("query: " for E5).')] = "",
    passage_prefix: Annotated[str, typer.Option(help='Embedder: put before passages ("passage: ").')] = "",
    pooling: Annotated[str, typer.Option(help="Embedder: `mean` or `cls`.")] = "mean",
    max_tokens: Annotated[int, typer.Option(help="Embedder, reranker: longer texts are cut.", min=16)] = 512,
) -> None:
    """Put models into the model store. What is there already is not fetched again."""
    from answerbox.adapters.model_pull import EMBEDDED, pull_embedded, pull_hub

    if hub_id is None:
        for model in EMBEDDED:
            pull_embedded(model, _say)
        return
    if pooling not in ("mean", "cls"):
        raise SetupError(f"--pooling is `mean` or `cls`, not {pooling!r}.")
    extra: dict[str, Any] = {"languages": language or []}
    if kind is Kind.generator:
        extra["small"] = small
    if kind is Kind.embedder:
        extra |= {
            "query_prefix": query_prefix,
            "passage_prefix": passage_prefix,
            "pooling": pooling,
            "max_tokens": max_tokens,
        }
    if kind is Kind.reranker:
        extra["max_tokens"] = max_tokens
    tag = pull_hub(hub_id, revision, kind.value, extra, _say)
    _say(f"Use it: ANSWERBOX_{kind.value.upper()}_MODEL={tag}")


@app.command("list")
def list_() -> None:
    """What the model store has."""
    from answerbox.adapters.model_store import every

    table = Table("model", "kind", "languages", "licence", "source")
    for model in every():
        about = model.metadata
        languages = ", ".join(about.get("languages", [])) or "any"
        table.add_row(
            model.tag,
            str(about.get("kind", "")),
            languages,
            str(about.get("license", "")),
            str(about.get("source", "")),
        )
    out.print(table)


def _say(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)

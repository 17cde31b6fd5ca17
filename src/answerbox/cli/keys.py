"""answerbox keys: who may use the service. A running service sees a change within a request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from answerbox import keys
from answerbox.settings import load_settings

app = typer.Typer(help="API keys of the service.", no_args_is_help=True)
out = Console()


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is; each name once.")],
    scope: Annotated[list[str], typer.Option(help=f"What it may do: {', '.join(keys.SCOPES)}; repeat it.")],
    user_id: Annotated[str | None, typer.Option(help="The only user in whose name it may ask.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="It expires after so many days.")] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=0, help="Instead of the setting; 0: any.")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=0, help="Instead of the setting; 0: any.")] = None,
) -> None:
    """Make a key. It is shown now and never again: only its hash is kept."""
    path = load_settings().keys_path
    text, key = keys.create(
        path,
        name,
        scope,
        user_id=user_id,
        expires_at=datetime.now(UTC) + timedelta(days=days) if days else None,
        requests_per_minute=requests_per_minute,
        tokens_per_day=tokens_per_day,
    )
    typer.echo(text)
    typer.echo(f"{key.name} may {', '.join(sorted(key.scopes))}. Its hash is in {path}; keep the key itself.", err=True)


@app.command("list")
def list_() -> None:
    """The keys that there are, without what would let one use them."""
    table = Table("name", "id", "scopes", "user", "made", "expires", "requests a minute", "tokens a day")
    for key in keys.read(load_settings().keys_path):
        expires = "never" if key.expires_at is None else "expired" if key.expired() else _day(key.expires_at)
        table.add_row(
            key.name,
            key.id,
            ", ".join(sorted(key.scopes)),
            key.user_id or "any",
            _day(key.created_at),
            expires,
            _bound(key.requests_per_minute),
            _bound(key.tokens_per_day),
        )
    out.print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="Name or id of the key.")]) -> None:
    """Take a key away. A running service refuses it from now on."""
    gone = keys.revoke(load_settings().keys_path, name)
    typer.echo(f"{gone.name} ({gone.id}) is revoked.")


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def _bound(value: int | None) -> str:
    return "as set" if value is None else "any" if value == 0 else str(value)

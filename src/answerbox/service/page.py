"""The page for people, at `/`: the files of `answerbox/ui`, read once. It uses the same routes as any client.

No path of a request reaches the disk, and a browser loads nothing but these files: the policy below forbids it, also
to a text that is shown and was written to do harm.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import answerbox
from answerbox.contracts import PipelineName
from answerbox.errors import RouteNotFound
from answerbox.service import exchange
from answerbox.service.friendly import friendly
from answerbox.settings import load_settings

PIPELINES = get_args(PipelineName)
FOLDER = Path(answerbox.__file__).parent / "ui"
INDEX = "index.html"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",  # the browser itself refuses HTML that is made from text
        "trusted-types 'none'",
    )
)


@dataclass(frozen=True)
class Asset:
    """A file of the page. `tag` is its ETag."""

    content: bytes
    media_type: str
    tag: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", f'"{hashlib.sha256(self.content).hexdigest()[:32]}"')


@cache
def assets() -> dict[str, Asset]:
    """By name."""
    return {path.name: Asset(path.read_bytes(), TYPES[path.suffix]) for path in FOLDER.iterdir() if path.is_file()}


@cache
def _is_on() -> bool:
    settings = load_settings()
    return settings.page and "rag" in settings.served


@friendly
async def home(request: Request) -> Response:
    """The page; where it is switched off, what there is instead."""
    if _is_on():
        return _sent(INDEX, request)
    ask = ", ".join(f"/{name}_query" for name in PIPELINES if name in load_settings().served)
    paths = {"health": "/health", "openapi": "/docs.json", "ask": f"POST {ask}"}
    return JSONResponse({"name": "Answerbox", "version": answerbox.__version__, **paths})


@friendly
async def page_file(request: Request) -> Response:
    return _sent(exchange.current.get().path_values["file"], request)


PAGE_ROUTES = [
    Route("/", home, methods=["GET"]),
    Route("/ui/{file}", page_file, methods=["GET"]),
]


def _sent(name: str, request: Request) -> Response:
    """The file, or 304 where the browser has it. It asks each time: a new version is seen at once."""
    asset = assets().get(name) if _is_on() else None
    if asset is None:
        raise RouteNotFound(f"There is no file {name!r} of the page.")
    headers = {"ETag": asset.tag, "Cache-Control": "no-cache"}
    if name == INDEX:
        headers["Content-Security-Policy"] = POLICY
    if asset.tag in request.headers.get("if-none-match", ""):  # a browser takes the headers of a 304, too
        return Response(status_code=304, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)

"""Every path of the service, once: the edge lets nothing else in, and the OpenAPI document lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from answerbox.errors import MethodNotAllowed, RouteNotFound
from answerbox.keys import Scope

QUERY: Scope = "query"
WRITE: Scope = "documents:write"
METRICS: Scope = "metrics"
ADMIN: Scope = "admin"


@dataclass(frozen=True)
class Route:
    """`template` may end in one `{name}`, which takes the rest of the path.

    `scope` is what a key must have, None where no key is needed; `open_as` is the name under which the setting
    `open_routes` lets everybody in. `needs` is the pipeline, or the part, without which a service does not serve it
    (see `Settings.served`). A probe is always answered, however much there is to do, and one that went well is not
    worth a line in the log: so are the files of the page. `is_traced`: models work for it.
    """

    method: str
    template: str
    scope: Scope | None
    takes_files: bool = False
    open_as: str | None = None
    is_probe: bool = False
    is_traced: bool = False
    needs: str | None = None

    @property
    def name(self) -> str:
        """`rag_query`, also of its stream."""
        return self.template.strip("/").removesuffix("/stream")

    @property
    def streams(self) -> bool:
        return self.template.endswith("/stream")

    @property
    def pattern(self) -> re.Pattern[str]:
        head, brace, name = self.template.partition("{")
        tail = rf"(?P<{name.rstrip('}')}>.+)" if brace else ""
        return re.compile(re.escape(head) + tail)


ROUTES = (
    Route("GET", "/", None, is_probe=True),
    Route("GET", "/ui/{file}", None, is_probe=True),
    Route("POST", "/llm_query", QUERY, is_traced=True, needs="llm"),
    Route("POST", "/llm_query/stream", QUERY, is_traced=True, needs="llm"),
    Route("POST", "/rag_query", QUERY, is_traced=True, needs="rag"),
    Route("POST", "/rag_query/stream", QUERY, is_traced=True, needs="rag"),
    Route("POST", "/agent_query", QUERY, is_traced=True, needs="agent"),
    Route("POST", "/agent_query/stream", QUERY, is_traced=True, needs="agent"),
    Route("POST", "/custom_query", QUERY, is_traced=True, needs="custom"),
    Route("POST", "/custom_query/stream", QUERY, is_traced=True, needs="custom"),
    Route("POST", "/search", QUERY, is_traced=True, needs="index"),
    Route("POST", "/feedback", QUERY, needs="index"),
    Route("GET", "/v1/models", QUERY),
    Route("GET", "/v1/models/{model_id}", QUERY),
    Route("POST", "/v1/chat/completions", QUERY, is_traced=True),
    Route("POST", "/v1/embeddings", QUERY, is_traced=True, needs="embedder"),
    Route("POST", "/mcp", QUERY, needs="index"),
    Route("GET", "/documents", QUERY, needs="index"),
    Route("POST", "/documents", WRITE, takes_files=True, needs="index"),
    Route("GET", "/documents/{document_id}", QUERY, needs="index"),
    Route("DELETE", "/documents/{document_id}", WRITE, needs="index"),
    Route("GET", "/jobs/{job_id}", WRITE, needs="index"),
    Route("DELETE", "/jobs/{job_id}", WRITE, needs="index"),
    Route("POST", "/reindex", ADMIN, needs="index"),
    Route("DELETE", "/requests/{request_id}", QUERY),
    Route("DELETE", "/sessions/{session_id}", QUERY, needs="index"),
    Route("GET", "/health", METRICS, open_as="health", is_probe=True),
    Route("GET", "/livez", None, is_probe=True),
    Route("GET", "/readyz", None, is_probe=True),
    Route("GET", "/metrics", METRICS, open_as="metrics", is_probe=True),
    Route("GET", "/docs.json", QUERY, open_as="docs"),
    Route("GET", "/schema.json", QUERY, open_as="docs"),
)
_COMPILED = [(route, route.pattern) for route in ROUTES]


def match(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """The route of a decoded path, as ASGI has it, and the values in it. HEAD counts as GET.

    Raises:
        RouteNotFound, MethodNotAllowed
    """
    method = "GET" if method == "HEAD" else method
    allowed = []
    for route, pattern in _COMPILED:
        found = pattern.fullmatch(path)
        if found and route.method == method:
            return route, found.groupdict()
        if found:
            allowed.append(route.method)
    if allowed:
        raise MethodNotAllowed(
            f"{path} does not take {method}.",
            hint=f"It takes {' and '.join(allowed)}.",
            extra={"allow": allowed},
        )
    raise RouteNotFound(f"There is no path {path!r}.", hint="GET /docs.json lists the paths.")

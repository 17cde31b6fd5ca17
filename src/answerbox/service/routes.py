"""Every path of the service, once: the edge lets nothing else in, and the OpenAPI document lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from answerbox.errors import MethodNotAllowed, RouteNotFound


@dataclass(frozen=True)
class Route:
    """`template` may end in one `{name}`, which takes the rest of the path."""

    method: str
    template: str
    takes_files: bool = False

    @property
    def pattern(self) -> re.Pattern[str]:
        head, brace, name = self.template.partition("{")
        tail = rf"(?P<{name.rstrip('}')}>.+)" if brace else ""
        return re.compile(re.escape(head) + tail)


ROUTES = (
    Route("GET", "/"),
    Route("POST", "/llm_query"),
    Route("POST", "/llm_query/stream"),
    Route("POST", "/rag_query"),
    Route("POST", "/rag_query/stream"),
    Route("POST", "/search"),
    Route("GET", "/documents"),
    Route("POST", "/documents", takes_files=True),
    Route("GET", "/documents/{document_id}"),
    Route("DELETE", "/documents/{document_id}"),
    Route("GET", "/jobs/{job_id}"),
    Route("DELETE", "/jobs/{job_id}"),
    Route("POST", "/reindex"),
    Route("DELETE", "/requests/{request_id}"),
    Route("GET", "/health"),
    Route("GET", "/livez"),
    Route("GET", "/readyz"),
    Route("GET", "/metrics"),
    Route("GET", "/docs.json"),
    Route("GET", "/schema.json"),
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

"""Every path of the service, once."""

from __future__ import annotations

import pytest

from answerbox.errors import MethodNotAllowed, RouteNotFound
from answerbox.service.openapi import openapi
from answerbox.service.routes import ROUTES, Route, match


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.template}")
def test_a_route_is_found_by_its_own_path(route: Route) -> None:
    found, _ = match(route.method, route.template)
    assert found == route


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        ("/documents/faq-1", "/documents/{document_id}", {"document_id": "faq-1"}),
        ("/documents/docs/deep/a b.md", "/documents/{document_id}", {"document_id": "docs/deep/a b.md"}),
        ("/documents/Ё%41", "/documents/{document_id}", {"document_id": "Ё%41"}),
        ("/jobs/job-1", "/jobs/{job_id}", {"job_id": "job-1"}),
    ],
)
def test_the_rest_of_a_path_is_its_value_as_it_is(path: str, template: str, values: dict[str, str]) -> None:
    route, found = match("GET", path)
    assert (route.template, found) == (template, values)


def test_head_counts_as_get() -> None:
    assert match("HEAD", "/health")[0].method == "GET"
    with pytest.raises(MethodNotAllowed):
        match("HEAD", "/llm_query")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/llm_query", ["POST"]),
        ("DELETE", "/documents", ["GET", "POST"]),
        ("POST", "/documents/x", ["GET", "DELETE"]),
        ("OPTIONS", "/health", ["GET"]),
        ("get", "/health", ["GET"]),
        ("", "/health", ["GET"]),
    ],
)
def test_another_method_is_refused_with_those_that_are_allowed(method: str, path: str, allowed: list[str]) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        match(method, path)
    assert caught.value.extra == {"allow": allowed}


@pytest.mark.parametrize(
    "path",
    ["", "/nope", "/llm_query/", "/LLM_QUERY", "//llm_query", "/documents/", "/jobs/", "/health/x", "/documents/a\nb"],
    ids=repr,
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    with pytest.raises(RouteNotFound):
        match("GET", path)


def test_only_what_models_work_for_is_traced() -> None:
    traced = {route.template for route in ROUTES if route.is_traced}
    queries = {f"/{name}_query{way}" for name in ("llm", "rag", "agent", "custom") for way in ("", "/stream")}
    assert traced == {*queries, "/search", "/v1/chat/completions", "/v1/embeddings"}


def test_every_route_is_in_the_openapi_document_and_the_other_way_round() -> None:
    told = {(method.upper(), path) for path, operations in openapi()["paths"].items() for method in operations}
    silent = {("GET", "/"), ("GET", "/ui/{file}"), ("GET", "/docs.json"), ("GET", "/schema.json")}
    silent |= {("POST", "/mcp")}  # MCP tells of itself
    assert told == {(route.method, route.template) for route in ROUTES} - silent

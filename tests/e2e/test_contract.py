"""What every caller may rely on: shapes of answers and failures, the documents of the interface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from answerbox.service.problems import MEDIA_TYPE
from tests.live import Live, serving

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_committed_openapi_document_is_the_live_one(fakes: Live) -> None:
    live = fakes.get("/docs.json").json()
    assert live == json.loads(COMMITTED.read_text("utf-8")), "a change of the contract: `make openapi`, and a version"


def test_every_operation_of_the_document_exists(fakes: Live) -> None:
    for path, operations in fakes.get("/docs.json").json()["paths"].items():
        for method in operations:
            with fakes.client() as client:
                answer = client.request(method, path.replace("{", "").replace("}", ""), json={})
            known = (
                "not_served",
                "document_not_found",
                "job_not_found",
                "session_not_found",
                "request_not_found",
                "model_not_found",
            )
            assert answer.status_code not in (404, 405) or _code(answer).endswith(known), (method, path)


def _code(answer: httpx.Response) -> str:
    found = answer.json()
    return str(found.get("error", found)["code"])


def _problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "request_id", "retryable"} <= set(problem)
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status", "code"),
    [
        pytest.param("GET", "/nope", b"", None, 404, "route_not_found", id="unknown-path"),
        pytest.param("GET", "/static_content/x", b"", None, 404, "route_not_found", id="bentomls-own-page"),
        pytest.param("GET", "/llm_query", b"", None, 405, "method_not_allowed", id="wrong-method"),
        pytest.param("POST", "/llm_query", b"{", "application/json", 400, "malformed_body", id="half-json"),
        pytest.param("POST", "/llm_query", b"", "application/json", 422, "invalid_request", id="empty"),
        pytest.param("POST", "/llm_query", b"[]", "application/json", 422, "invalid_request", id="a-list"),
        pytest.param("POST", "/llm_query", b"\xff\xfe", "application/json", 400, "malformed_body", id="not-utf-8"),
        pytest.param("POST", "/llm_query", b"a=b", "text/plain", 415, "unsupported_media_type", id="text"),
        pytest.param(
            "POST",
            "/llm_query",
            b"x",
            "application/vnd.bentoml+pickle",
            415,
            "unsupported_media_type",
            id="pickle",
        ),
        pytest.param("POST", "/documents", b"{", "application/json", 400, "malformed_body", id="half-document"),
        pytest.param("POST", "/search", b'{"query": ""}', "application/json", 422, "invalid_request", id="no-query"),
        pytest.param("GET", "/documents?limit=0", b"", None, 422, "invalid_request", id="no-page"),
        pytest.param("POST", "/rag_query/stream", b"{}", "application/json", 422, "invalid_request", id="stream"),
        pytest.param("POST", "/documents", b" " * 2**24, "application/json", 413, "payload_too_large", id="16-MB"),
    ],
)
def test_a_failure_has_the_one_shape(
    fakes: Live, method: str, path: str, content: bytes, kind: str | None, status: int, code: str
) -> None:
    with fakes.client() as client:
        headers = {"content-type": kind} if kind else {}
        problem = _problem(client.request(method, path, content=content, headers=headers))
    assert (problem["status"], problem["code"]) == (status, code)


def test_a_fault_names_its_field_and_does_not_repeat_the_input(fakes: Live) -> None:
    before = len(fakes.log.read_text())
    answer = fakes.post("/llm_query", {"question": "a", "options": {"max_tokens": 0}, "secret": "hunter2"})
    problem = _problem(answer)
    assert {error["field"] for error in problem["errors"]} == {"options.max_tokens", "secret"}
    assert "hunter2" not in answer.text
    fakes.get("/livez")
    logged = fakes.log.read_text()[before:]
    assert "hunter2" not in logged
    assert "Traceback" not in logged


def test_a_harmless_request_id_is_kept_and_another_replaced(fakes: Live) -> None:
    with fakes.client() as client:
        body = {"question": "a"}
        kept = client.post("/llm_query", json=body, headers={"x-request-id": "order-4711-a"})
        assert kept.headers["x-request-id"] == kept.json()["meta"]["request_id"] == "order-4711-a"
        bad = client.post("/llm_query", json=body, headers={"x-request-id": "<script>alert(1)</script>"})
        assert "script" not in bad.headers["x-request-id"]


def test_health_tells_of_every_part(fakes: Live) -> None:
    health = fakes.get("/health").json()
    assert health["status"] == "ok"
    assert set(health["dependencies"]) == {"generator", "embedder", "index"}
    assert all(part["ready"] for part in health["dependencies"].values())


def test_no_page_loads_a_script_from_elsewhere(fakes: Live) -> None:
    page = fakes.get("/")
    assert "default-src 'none'; script-src 'self'" in page.headers["content-security-policy"]
    assert "//" not in page.text


def test_a_stream_that_fails_early_has_its_own_status(fakes: Live) -> None:
    body = {"question": "a", "context": "w " * 8_001}
    assert _problem(fakes.post("/llm_query/stream", body))["code"] == "prompt_too_long"


def test_on_the_deadline_the_partial_answer_stands(tmp_path: Path) -> None:
    with serving(
        tmp_path,
        generator_model="fake",
        embedder_model="fake",
        fake_token_delay_s="0.3",
        request_timeout_s="1.5",
        stream_heartbeat_s="0.2",
    ) as live:
        answer = live.post("/llm_query", {"question": "one two three four five six seven eight"})
        assert answer.status_code == 200
        assert answer.json()["meta"]["finish_reason"] == "deadline"
        assert answer.json()["answer"].startswith("one two")
        with live.client() as client, client.stream("POST", "/llm_query/stream", json={"question": "a b"}) as got:
            text = got.read().decode()
        assert ": still working" in text
        assert text.rstrip().split("\n\n")[-1].startswith("event: done")

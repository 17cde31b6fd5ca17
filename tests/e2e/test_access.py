"""A service in production: who may ask, in whose name, how much, how long. Keys are made with the real command."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from answerbox.contracts import DocumentIn
from answerbox.errors import Forbidden, RateLimited, Unauthorized
from tests.client_kit import CALLERS, Caller
from tests.live import BIN, Live, free_port, serving, start, wait_until

QUESTION = {"question": "What colour is the stone?"}
ORIGIN = "https://app.example"


def answerbox(live_folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ANSWERBOX_DATA_DIR": str(live_folder / "data"), **more}
    return subprocess.run(
        [BIN / "answerbox", *words], env=env, capture_output=True, text=True, timeout=120, check=False
    )


class Keys:
    """The keys of one service, by name, as `answerbox keys` prints them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.texts: list[str] = []

    def make(self, *words: str) -> dict[str, str]:
        done = answerbox(self.folder, "keys", "create", uuid.uuid4().hex, *words)
        assert done.returncode == 0, done.stderr
        self.texts.append(done.stdout.strip())
        return {"Authorization": f"Bearer {self.texts[-1]}"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    found = Keys(tmp_path_factory.mktemp("production"))
    found.make("--scope", "query")
    return found


@pytest.fixture(scope="module")
def closed(keys: Keys) -> Iterator[Live]:
    with serving(
        keys.folder,
        env="production",
        generator_model="fake",
        embedder_model="fake",
        fake_token_delay_s="0.02",
        isolation="true",
        cors_origins=f'["{ORIGIN}"]',
    ) as live:
        yield live


def send(live: Live, method: str, path: str, key: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    headers = {**(key or {}), **options.pop("headers", {})}
    with live.client(60) as client:
        return client.request(method, path, headers=headers, **options)


def test_production_without_keys_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="answerbox keys create"):
        start(tmp_path, env="production", generator_model="fake", embedder_model="fake")


def test_serving_to_others_without_keys_is_refused_in_words(tmp_path: Path) -> None:
    fakes = {"ANSWERBOX_GENERATOR_MODEL": "fake", "ANSWERBOX_EMBEDDER_MODEL": "fake"}
    done = answerbox(tmp_path, "serve", "--host", "0.0.0.0", "--port", str(free_port()), **fakes)
    assert done.returncode == 1
    assert "--open" in done.stderr


def test_only_keys_get_answers_and_only_within_their_scopes(closed: Live, keys: Keys) -> None:
    for path in ("/llm_query", "/rag_query", "/rag_query/stream"):
        answer = send(closed, "POST", path, json=QUESTION)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    query, metrics = keys.make("--scope", "query"), keys.make("--scope", "metrics")
    assert send(closed, "POST", "/llm_query", query, json=QUESTION).status_code == 200
    assert send(closed, "GET", "/metrics", query).status_code == 403
    assert send(closed, "GET", "/metrics", metrics).status_code == 200
    assert send(closed, "POST", "/llm_query", metrics, json=QUESTION).status_code == 403
    assert send(closed, "GET", "/health").status_code == 401
    assert {send(closed, "GET", path).status_code for path in ("/livez", "/readyz", "/docs.json")} == {200}


def test_a_new_key_works_and_a_revoked_one_does_not_without_a_restart(closed: Live, keys: Keys) -> None:
    name = uuid.uuid4().hex
    made = answerbox(keys.folder, "keys", "create", name, "--scope", "query")
    key = {"X-API-Key": made.stdout.strip()}
    assert send(closed, "POST", "/llm_query", key, json=QUESTION).status_code == 200
    assert name in answerbox(keys.folder, "keys", "list", COLUMNS="300").stdout
    assert answerbox(keys.folder, "keys", "revoke", name).returncode == 0
    assert send(closed, "POST", "/llm_query", key, json=QUESTION).status_code == 401
    assert answerbox(keys.folder, "keys", "revoke", name).returncode == 1


@pytest.fixture(scope="module")
def ada(closed: Live, keys: Keys) -> dict[str, str]:
    """A key of one user, who has a document."""
    key = keys.make("--scope", "query", "--scope", "documents:write", "--user-id", "ada")
    text = {"id": "stone", "text": "The stone of the secret garden is red."}
    job = send(closed, "POST", "/documents", key, json={"documents": [text]})
    assert job.status_code == 202, job.text
    path = f"/jobs/{job.json()['job_id']}"
    wait_until(lambda: send(closed, "GET", path, key).json()["finished_at"], 30, "the document is there")
    return key


def test_a_conversation_is_closed_to_a_key_of_another_user(closed: Live, keys: Keys, ada: dict[str, str]) -> None:
    bob = keys.make("--scope", "query", "--user-id", "bob")
    asked = send(closed, "POST", "/agent_query", ada, json={**QUESTION, "session_id": "talk"})
    assert asked.status_code == 200, asked.text
    assert send(closed, "DELETE", "/sessions/talk").status_code == 401
    assert send(closed, "DELETE", "/sessions/talk", bob).status_code == 404
    assert send(closed, "DELETE", "/sessions/talk", bob, params={"user_id": "ada"}).status_code == 403
    assert send(closed, "DELETE", "/sessions/talk", ada).status_code == 204
    assert send(closed, "DELETE", "/sessions/talk", ada).status_code == 404


def test_a_users_key_finds_the_users_documents_and_no_other_key_does(
    closed: Live, keys: Keys, ada: dict[str, str]
) -> None:
    bob = keys.make("--scope", "query", "--user-id", "bob")
    search = {"query": "What colour is the stone of the secret garden?"}
    found = {
        name: [hit["document_id"] for hit in send(closed, "POST", "/search", key, json=search).json()["hits"]]
        for name, key in (("ada", ada), ("bob", bob))
    }
    assert found == {"ada": ["stone"], "bob": []}
    assert send(closed, "GET", "/documents/stone", ada).status_code == 200
    assert send(closed, "GET", "/documents/stone", bob).status_code == 404
    assert send(closed, "GET", "/documents", bob).json()["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/llm_query", {"json": {**QUESTION, "user_id": "bob"}}),
        ("POST", "/llm_query/stream", {"json": {**QUESTION, "user_id": "bob"}}),
        ("POST", "/rag_query", {"json": {**QUESTION, "user_id": "bob"}}),
        ("POST", "/rag_query/stream", {"json": {**QUESTION, "user_id": "bob"}}),
        ("POST", "/search", {"json": {"query": "stone", "user_id": "bob"}}),
        ("POST", "/documents", {"json": {"documents": [{"text": "x", "user_id": "bob"}]}}),
        ("POST", "/documents", {"files": {"files": ("a.txt", b"x")}, "data": {"user_id": "bob"}}),
        ("GET", "/documents?user_id=bob", {}),
        ("GET", "/documents/stone?user_id=bob", {}),
        ("DELETE", "/documents/stone?user_id=bob", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_users_key_cannot_speak_for_another(
    closed: Live, ada: dict[str, str], method: str, path: str, options: dict[str, Any]
) -> None:
    answer = send(closed, method, path, ada, **options)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "'bob'" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/llm_query", "/llm_query/stream"])
def test_a_days_tokens_are_spent_by_answers_and_by_streams(closed: Live, keys: Keys, path: str) -> None:
    key = keys.make("--scope", "query", "--tokens-per-day", "1")
    assert send(closed, "POST", path, key, json=QUESTION).status_code == 200
    refused = send(closed, "POST", path, key, json=QUESTION)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) <= 86_400


def test_the_callers_deadline_ends_the_answer(closed: Live, keys: Keys) -> None:
    key = keys.make("--scope", "query")
    body = {"question": "Tell me " + "a very long story " * 100, "options": {"max_tokens": 1_000}}
    began = time.monotonic()
    answer = send(closed, "POST", "/llm_query", key, json=body, headers={"X-Request-Timeout": "0.6"})
    assert time.monotonic() - began < 5
    if answer.status_code == 200:
        assert answer.json()["meta"]["finish_reason"] == "deadline"
    else:
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_who_hangs_up_in_the_middle_pays_for_what_was_made(closed: Live, keys: Keys) -> None:
    key = keys.make("--scope", "query", "--tokens-per-day", "10")
    question = {"question": "word " * 500, "options": {"max_tokens": 400}}
    with closed.client(60) as client, client.stream("POST", "/llm_query/stream", json=question, headers=key) as answer:
        next(answer.iter_lines())
    search = {"query": "what costs no tokens"}
    refused = wait_until(
        lambda: (got := send(closed, "POST", "/search", key, json=search)).is_error and got, 10, "it counts"
    )
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


def test_a_page_of_a_known_origin_may_call_and_read_problems(closed: Live) -> None:
    asks = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    preflight = send(closed, "OPTIONS", "/llm_query", headers=asks)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, ORIGIN)
    problem = send(closed, "POST", "/llm_query", json=QUESTION, headers={"Origin": ORIGIN})
    assert (problem.status_code, problem.headers["access-control-allow-origin"]) == (401, ORIGIN)
    other = send(closed, "POST", "/llm_query", json=QUESTION, headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    refused = send(closed, "OPTIONS", "/llm_query", headers={**asks, "Origin": "https://evil.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert refused.headers["content-type"] == "application/problem+json"


def test_the_command_line_sends_its_key(closed: Live, keys: Keys) -> None:
    keys.make("--scope", "query")
    words = ("ask", "What is it?", "-p", "llm", "--url", closed.url)
    refused = answerbox(keys.folder, *words)
    assert (refused.returncode, "X-API-Key" in refused.stderr) == (1, True)
    done = answerbox(keys.folder, *words, ANSWERBOX_API_KEY=keys.texts[-1])
    assert (done.returncode, bool(done.stdout.strip())) == (0, True), done.stderr


@pytest.mark.parametrize("kind", CALLERS)
def test_the_clients_raise_what_the_gate_says(closed: Live, keys: Keys, kind: Callable[..., Caller]) -> None:
    keys.make("--scope", "query", "--tokens-per-day", "1")
    key = keys.texts[-1]
    with pytest.raises(Unauthorized):
        kind(closed.url).call("llm", "Why?")
    with pytest.raises(Forbidden):
        kind(closed.url, {"key": key}).call("add_documents", [DocumentIn(text="x")])
    assert kind(closed.url, {"key": key}).call("llm", "Why?").answer
    with pytest.raises(RateLimited) as caught:
        kind(closed.url, {"key": key}).events("stream_llm", "Why?")
    assert 0 < caught.value.extra["retry_after_s"] <= 86_400


def test_no_key_stands_in_the_log(closed: Live, keys: Keys) -> None:
    log = closed.log.read_text()
    assert log
    assert not [text for text in keys.texts if text.split("_", 2)[2] in log]

"""A Chroma server that hangs, dies, comes back or loses its data, and the parts of its client that have no contract."""

from __future__ import annotations

import base64
import http.server
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from chromadb.errors import ChromaAuthError, InternalError, InvalidArgumentError

from answerbox.adapters.chroma_collection import ChromaCollection, _batches
from answerbox.adapters.chroma_http import MAX_CONNECTIONS, patiently, server_api
from answerbox.adapters.chroma_server import ChromaServer
from answerbox.errors import IndexUnavailable, SetupError
from tests.live import free_port
from tests.ports.chroma_run import ChromaRun, chroma_run

X, Y = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]
TIMEOUT_S = 2.0
SLACK_S = 1.0
RESTART_S = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaRun]:
    with chroma_run(tmp_path_factory.mktemp("chroma-run")) as running:
        yield running


@pytest.fixture
def model() -> str:
    return uuid4().hex


@pytest.fixture
def store(server: ChromaRun, model: str) -> Iterator[ChromaCollection]:
    """With a row `x` and a row `y`."""
    stores = ChromaServer(server.url, TIMEOUT_S, long_timeout_s=TIMEOUT_S)
    store = stores.open(model)
    put(store, "x", "y")
    yield store
    stores.close()


def put(store: ChromaCollection, *ids: str) -> None:
    store.upsert(ids, [X if id_ == "x" else Y for id_ in ids], [{"document_id": "d"}] * len(ids))


def nearest(store: ChromaCollection) -> list[str]:
    return [id_ for id_, _ in store.query(X, 1, None)]


def test_a_killed_server_is_gone_for_a_while(server: ChromaRun, store: ChromaCollection) -> None:
    server.end(signal.SIGKILL)
    with pytest.raises(IndexUnavailable, match="cannot be reached"):
        store.query(X, 1, None)
    server.start()
    assert nearest(store) == ["x"]
    put(store, "z")
    assert store.ids() == {"x", "y", "z"}


def test_a_call_waits_for_a_server_that_is_restarted(server: ChromaRun, model: str) -> None:
    stores = ChromaServer(server.url, RESTART_S)
    store = stores.open(model)
    put(store, "x")
    server.end(signal.SIGKILL)
    server.launch()
    put(store, "y")
    assert nearest(store) == ["x"]
    assert store.ids() == {"x", "y"}
    stores.close()


def test_a_hung_server_is_given_up_in_time(server: ChromaRun, store: ChromaCollection) -> None:
    server.send(signal.SIGSTOP)
    start = time.monotonic()
    try:
        for call in (lambda: nearest(store), store.count, store.ids, lambda: put(store, "z")):
            with pytest.raises(IndexUnavailable, match="in time"):
                call()
        with pytest.raises(IndexUnavailable):
            ChromaServer(server.url, TIMEOUT_S).open("another")
        took = time.monotonic() - start
    finally:
        server.send(signal.SIGCONT)
    assert took < 5 * (TIMEOUT_S + SLACK_S)
    assert nearest(store) == ["x"]


def test_a_server_that_is_not_there_is_told_in_time() -> None:
    stores = ChromaServer(f"http://127.0.0.1:{free_port()}", TIMEOUT_S)
    start = time.monotonic()
    with pytest.raises(IndexUnavailable, match="cannot be reached"):
        stores.open("model")
    with pytest.raises(IndexUnavailable):
        stores.drop("model")
    assert time.monotonic() - start < 2 * (TIMEOUT_S + SLACK_S)


def test_a_collection_that_was_made_anew_has_none_of_the_old_rows(
    server: ChromaRun, store: ChromaCollection, model: str
) -> None:
    other = ChromaServer(server.url, TIMEOUT_S)
    other.drop(model)
    put(other.open(model), "z")
    assert store.ids() == {"z"}
    assert store.count() == 1
    assert nearest(store) == ["z"]
    other.close()


def test_a_collection_that_was_dropped_is_made_anew(server: ChromaRun, store: ChromaCollection, model: str) -> None:
    other = ChromaServer(server.url, TIMEOUT_S)
    other.drop(model)
    assert nearest(store) == []
    put(store, "x")
    other.drop(model)
    put(store, "y")
    assert store.ids() == {"y"}
    other.close()


def test_a_server_that_lost_its_data_has_no_ids(tmp_path: Path, model: str) -> None:
    with chroma_run(tmp_path) as server:
        stores = ChromaServer(server.url, TIMEOUT_S)
        store = stores.open(model)
        put(store, "x", "y")
        server.end(signal.SIGTERM)
        shutil.rmtree(server.path)
        server.start()
        assert store.count() == 0
        assert store.ids() == set()
        put(store, "x")
        assert store.ids() == {"x"}
        stores.close()


def test_many_threads_share_a_store(store: ChromaCollection) -> None:
    vectors = [[0.0, 1.0, number / 700] for number in range(700)]  # HNSW loses its way among equal ones
    store.upsert([f"row-{number}" for number in range(700)], vectors, [{"document_id": "d"}] * 700)
    with ThreadPoolExecutor(3 * MAX_CONNECTIONS) as pool:
        found = list(pool.map(lambda _: nearest(store), range(100)))
    assert found == [["x"]] * 100
    assert store.count() == 702


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers each request with the next status of the script, and then as a healthy server would not."""

    statuses: list[int]
    seen: list[tuple[str, str | None]]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.seen.append((self.path, self.headers.get("authorization")))
        self.send_response(self.statuses.pop(0) if self.statuses else 200)
        self.send_header("content-length", "13")
        self.end_headers()
        self.wfile.write(b"<html></html>")

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, type[Proxy]]]:
    script = type("Script", (Proxy,), {"statuses": [], "seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), script) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_port}", script
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "message", "attempts"),
    [
        (503, "busy", None),
        (429, "busy", None),
        (401, "let Answerbox in", 1),
        (403, "let Answerbox in", 1),
        (200, "no sense", 1),
    ],
)
def test_what_a_proxy_says_is_told(
    status: int, message: str, attempts: int | None, proxy: tuple[str, type[Proxy]]
) -> None:
    address, script = proxy
    script.statuses += [status] * 1000
    with pytest.raises(IndexUnavailable, match=message) as raised:
        ChromaServer(f"http://me:secret@{address}/chroma", 1.0).open("model")
    assert "secret" not in str(raised.value)
    assert len(script.seen) == attempts if attempts else len(script.seen) > 1


def test_a_path_and_credentials_reach_the_server(proxy: tuple[str, type[Proxy]]) -> None:
    address, script = proxy
    with pytest.raises(IndexUnavailable):
        ChromaServer(f"http://me:p%40ss@{address}/behind/", 1.0).open("model")
    path, authorization = script.seen[0]
    assert path == "/behind/api/v2/tenants/default_tenant/databases/default_database/collections"
    assert authorization == "Basic " + base64.b64encode(b"me:p@ss").decode()


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://chroma", "http://chroma:8000/api/v2"),
        ("http://http-host:81/", "http://http-host:81/api/v2"),
        ("https://chroma.example", "https://chroma.example:443/api/v2"),
        ("https://chroma.example:8443/a/b", "https://chroma.example:8443/a/b/api/v2"),
        ("http://[::1]:8000", "http://[::1]:8000/api/v2"),
    ],
)
def test_the_address_is_understood(url: str, base: str) -> None:
    assert server_api(url).get_api_url() == base


@pytest.mark.parametrize(
    "url", ["ftp://me:secret@host", "http://", "http://me:secret@host:port", "http://host?x=secret", "host:8000"]
)
def test_an_address_that_cannot_be_used_is_a_fault_of_the_setup(url: str) -> None:
    with pytest.raises(SetupError) as raised:
        ChromaServer(url, 1.0)
    assert "secret" not in str(raised.value)


def test_a_certificate_is_verified() -> None:
    session: Any = server_api("https://chroma.example")._session
    assert session._transport._pool._ssl_context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize("name", ["CHROMA_SERVER_HOST", "CHROMA_SERVER_SSL_VERIFY", "CHROMA_CLIENT_AUTH_PROVIDER"])
def test_the_environment_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "other")
    assert server_api("http://chroma").get_api_url() == "http://chroma:8000/api/v2"


def test_the_private_parts_of_the_client_are_as_we_need_them(server: ChromaRun) -> None:
    api = server_api(server.url)
    session: Any = api._session
    assert isinstance(session, httpx.Client)
    assert session.timeout == httpx.Timeout(None), "Chroma sets limits now: ours may go"
    pool: Any = vars(session._transport)["_pool"]
    assert pool._max_connections == MAX_CONNECTIONS
    limits: list[Any] = []
    session.event_hooks["request"].append(lambda request: limits.append(request.extensions["timeout"]))
    patiently(api.heartbeat, 5.0)
    assert 4 < limits[0]["read"] <= 5
    assert limits[0]["connect"] == 2.0


def test_a_request_outside_of_a_budget_is_a_bug(server: ChromaRun) -> None:
    with pytest.raises(LookupError):
        server_api(server.url).heartbeat()


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (InternalError("damage"), 2),
        (InvalidArgumentError("wrong dimension"), 1),
        (ChromaAuthError("no"), 1),
        (ValueError("no"), 1),
    ],
)
def test_what_stays_wrong_is_not_asked_again_and_again(error: Exception, attempts: int) -> None:
    tried: list[int] = []

    def work() -> None:
        tried.append(1)
        raise error

    with pytest.raises(type(error)):
        patiently(work, 5.0)
    assert len(tried) == attempts


def test_a_batch_is_bounded_in_rows_and_bytes() -> None:
    small: list[Any] = [(str(number), X, {}) for number in range(650)]
    assert [len(batch) for batch in _batches(small, 300)] == [300, 300, 50]
    large: list[Any] = [(str(number), [0.0] * 4096, {}) for number in range(300)]
    sizes = [len(batch) for batch in _batches(large, 300)]
    assert sum(sizes) == 300
    assert max(sizes) * 4096 * 20 < 10 * 2**20
    huge: list[Any] = [("a", X, {"m.v": "x" * 11 * 2**20}), ("b", X, {})]
    assert [len(batch) for batch in _batches(huge, 300)] == [1, 1]


def test_two_installations_on_one_server_do_not_see_each_others_vectors(server: ChromaRun) -> None:
    one, other = (ChromaServer(server.url, RESTART_S, name) for name in ("one", "other"))
    one.open("shared").upsert(["a"], [[1.0, 0.0]], [{"owner": ""}])
    assert other.open("shared").ids() == set()
    other.drop("shared")
    assert one.open("shared").ids() == {"a"}
    one.drop("shared")

"""The agent of a live service with tools of MCP servers: a real one, whose tools misbehave, and one that is down.

Its own door at `/mcp` asks the same agent, in two processes that know nothing of each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.agent_live import told, uses
from tests.live import Live, free_port, serving
from tests.mcp_kit import SECRET, Desk, connected, desk, text_of
from tests.openai_server import OpenAIServer, calling, openai_server, saying

TICKET = ("desk__ticket", '{"number": 7}')


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture(scope="module")
def tickets() -> Iterator[Desk]:
    with desk() as double:
        yield double


@pytest.fixture(scope="module")
def service(engine: OpenAIServer, tickets: Desk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(
        tmp_path_factory.mktemp("mcp-tools"),
        llm_base_url=engine.url,
        embedder_model="fake",
        gateway_workers="2",
        tool_timeout_s="3",
        log_level="debug",
        mcp_servers=json.dumps({"desk": tickets.url, "away": f"http://127.0.0.1:{free_port()}/mcp"}),
        mcp_headers=json.dumps({"desk": f"X-API-Key: {SECRET}", "away": f"Authorization: Bearer {SECRET}"}),
    ) as live:
        engine.wait_until_warm(2)
        yield live


@pytest.fixture
def script(engine: OpenAIServer) -> OpenAIServer:
    engine.renew()
    return engine


def ask(live: Live, **fields: Any) -> dict[str, Any]:
    answer = live.post("/agent_query", {"question": "What is with ticket 7?", **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_agent_calls_a_tool_of_a_server_while_another_is_down(
    service: Live, script: OpenAIServer, tickets: Desk
) -> None:
    script.answers = [calling(TICKET), saying("The ferry did not come.")]
    answer = ask(service)
    assert (answer["answer"], uses(answer)) == ("The ferry did not come.", [("desk__ticket", "ok")])
    assert answer["meta"]["degraded"] == ["tools:away"]
    assert told(script)[0].startswith("Заявка 7: паром не пришёл.")
    assert "<|im_end|>" not in told(script)[0]  # nobody else's text ends a turn
    names = [tool["function"]["name"] for tool in script.asked[0]["tools"]]
    assert [name for name in names if name.startswith("desk__")] == [
        f"desk__{name}" for name in ("ticket", "everything", "broken", "stuck")
    ]
    assert SECRET in tickets.keys
    metrics = service.get("/metrics").text
    assert 'answerbox_degraded_total{part="tools",pipeline="agent"}' in metrics


@pytest.mark.parametrize(
    ("call", "status", "word"),
    [
        pytest.param(("desk__ticket", '{"number": "seven"}'), "invalid", "number", id="wrong-argument"),
        pytest.param(("desk__broken", "{}"), "failed", "broken", id="raises"),
        pytest.param(("desk__stuck", "{}"), "timeout", "3 seconds", id="hangs"),
        pytest.param(("desk__open_ticket", '{"text": "x"}'), "refused", "not allowed", id="side-effects"),
        pytest.param(("desk__nothing", "{}"), "unknown", "desk__ticket", id="unknown"),
    ],
)
def test_a_tool_of_a_server_that_fails_is_the_models_matter(
    service: Live, script: OpenAIServer, tickets: Desk, call: tuple[str, str], status: str, word: str
) -> None:
    made = len(tickets.calls)
    script.answers = [calling(call), calling(TICKET), saying("Well.")]
    answer = ask(service)
    assert (answer["answer"], uses(answer)) == ("Well.", [(call[0], status), ("desk__ticket", "ok")])
    assert word in told(script)[0]
    assert tickets.calls[made:] == [*(["stuck"] if status == "timeout" else []), "ticket"]  # nothing is done again


def test_a_long_result_is_cut(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(("desk__everything", "{}")), saying("Many.")]
    assert uses(ask(service)) == [("desk__everything", "ok")]
    assert len(told(script)[0]) < 8_200
    assert "cut" in told(script)[0]


def test_a_servers_words_for_its_failure_do_not_reach_the_caller(service: Live, script: OpenAIServer) -> None:
    script.answers = [calling(("desk__broken", "{}")), saying("It failed.")]
    with service.client() as client, client.stream("POST", "/agent_query/stream", json={"question": "Well?"}) as answer:
        text = "".join(answer.iter_text())
    assert '"content": "The tool failed."' in text
    assert "Error executing" in told(script)[0]
    assert "Error executing" not in text


async def test_the_door_asks_the_same_agent_in_whatever_process(service: Live, script: OpenAIServer) -> None:
    script.answer = saying("It did not come.")
    for mode in ("2026-07-28", "legacy"):
        async with connected(service.url, mode=mode) as client:
            for _ in range(4):
                answer = await client.call_tool("ask", {"question": "What is with it?", "pipeline": "agent"})
                assert text_of(answer) == "It did not come."
                assert answer.structured_content["meta"]["plan"] == "tools"


def test_no_key_of_a_server_stands_in_the_log(service: Live) -> None:
    log = service.log.read_text()
    assert "the MCP server desk" in log
    assert SECRET not in log

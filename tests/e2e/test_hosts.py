"""Each part on a host of its own: nothing is shared but what goes over the network."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.hosts import hosts, why_not
from tests.live import Live
from tests.split import NEEDS, Split, split

GATEWAYS = ("Answerbox-1", "Answerbox-2")
TEA = {"id": "tea", "title": "Tea", "text": "Green tea is best at 80 degrees."}
HOW_HOT = {"question": "How hot should green tea be?"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    if reason := why_not():
        pytest.skip(reason)
    fake = {"generator_model": "fake", "embedder_model": "fake"}
    with (
        hosts([*NEEDS, *GATEWAYS]) as made,
        split(tmp_path_factory.mktemp("hosts"), len(GATEWAYS), 1, made.place, **fake) as running,
    ):
        yield running


@pytest.fixture
def gateways(parts: Split) -> list[Live]:
    return [parts.parts[name] for name in GATEWAYS]


def test_every_part_is_at_an_address_of_its_own(parts: Split) -> None:
    addresses = {part.url.rpartition(":")[0] for part in parts.parts.values()}
    assert len(addresses) == len(parts.parts)
    port = int(parts.parts["Index"].url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


@pytest.mark.parametrize("pipeline", ["llm", "rag", "agent"])
def test_every_pipeline_answers(gateways: list[Live], pipeline: str) -> None:
    one, other = gateways
    one.index([TEA])
    answers = [gateway.post(f"/{pipeline}_query", HOW_HOT).json() for gateway in (one, other)]
    assert answers[0]["answer"] == answers[1]["answer"]
    assert answers[0]["meta"]["degraded"] == answers[1]["meta"]["degraded"]
    assert pipeline == "llm" or "80 degrees" in answers[0]["answer"]


def test_a_file_goes_through_the_network(gateways: list[Live]) -> None:
    one, other = gateways
    with one.client() as client:
        sent = client.post("/documents", files={"files": ("кофе.txt", "Эспрессо варят при 92 градусах.".encode())})
    assert sent.status_code == 202, sent.text
    with other.client() as client:
        assert client.get(f"/jobs/{sent.json()['job_id']}").status_code == 200

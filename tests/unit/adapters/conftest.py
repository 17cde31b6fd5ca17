"""A server that speaks OpenAI's protocol, for the tests of the adapter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.openai_server import OpenAIServer, openai_server


@pytest.fixture(scope="module")
def running() -> Iterator[OpenAIServer]:
    with openai_server() as double:
        yield double


@pytest.fixture
def server(running: OpenAIServer) -> OpenAIServer:
    """As new: it has been asked nothing yet."""
    running.renew()
    return running

"""A client that does not send the head of its request in time, against a real server on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import auto
from uvicorn.server import ServerState

from answerbox.service.heads import bound_heads
from tests.http.asgi import Receive, Send

BOUND_S = 0.3
LIMIT_S = 5.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def answer(_scope: Any, _receive: Receive, send: Send) -> None:
    """Takes longer than a head may."""
    await asyncio.sleep(2 * BOUND_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def connected(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    monkeypatch.setattr(auto, "AutoHTTPProtocol", auto.AutoHTTPProtocol)  # put back afterwards
    bound_heads(BOUND_S)
    config = uvicorn.Config(answer, log_level="critical")
    config.load()
    protocol: Any = config.http_protocol_class
    state = ServerState()
    listening = await asyncio.get_running_loop().create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        listening.close()


async def heard(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the connection is closed."""
    return await asyncio.wait_for(reader.read(), LIMIT_S)


async def test_half_a_head_is_refused_and_the_connection_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch) as (reader, writer):
        writer.write(REQUEST[:-3])
        said = await heard(reader)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in said
    assert b'"code":"body_timeout"' in said


async def test_who_says_nothing_is_cut_off_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch) as (reader, _):
        assert await heard(reader) == b""


async def test_an_answer_may_take_longer_and_the_next_head_has_a_bound_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(monkeypatch) as (reader, writer):
        writer.write(REQUEST)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), LIMIT_S)).startswith(b"HTTP/1.1 200 ")
        writer.write(REQUEST)
        assert (await asyncio.wait_for(reader.readuntil(b"ok"), LIMIT_S)).startswith(b"HTTP/1.1 200 ")
        writer.write(REQUEST[:5])
        assert (await heard(reader)).startswith(b"HTTP/1.1 408 ")

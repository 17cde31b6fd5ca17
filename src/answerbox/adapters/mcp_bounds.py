"""HTTP to a server that is not ours: no answer of it takes more memory than it may."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MOST_BYTES = 4 * 2**20
PLAIN = "identity"


class BoundedTransport(httpx2.AsyncHTTPTransport):
    """Raises `httpx2.ReadError` where an answer is too long, or packed, for what comes out has no bound."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["Accept-Encoding"] = PLAIN
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", PLAIN).lower() != PLAIN:
            await response.aclose()
            raise httpx2.ReadError("the answer is packed", request=request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, request)
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._inner = inner
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for piece in self._inner:
            length += len(piece)
            if length > MOST_BYTES:
                raise httpx2.ReadError(f"the answer is longer than {MOST_BYTES} bytes", request=self._request)
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()

"""Langfuse's API, without the SDK's threads and queues: https://langfuse.com/docs/api-and-data-platform."""

from __future__ import annotations

import httpx
from langfuse.api import AsyncLangfuseAPI

TIMEOUT_S = 3.0


def langfuse_api(base_url: str, keys: tuple[str, str], client: httpx.AsyncClient) -> AsyncLangfuseAPI:
    """`keys`: the public and the secret one. Whoever made the client closes it."""
    public_key, secret_key = keys
    return AsyncLangfuseAPI(
        base_url=base_url.rstrip("/"),
        username=public_key,
        password=secret_key,
        x_langfuse_public_key=public_key,
        httpx_client=client,
    )

"""The operator's own prompts, from Langfuse, by name and label: kept in memory and asked for beside the requests.

https://langfuse.com/docs/prompt-management. Not by the SDK's `get_prompt`, which asks while a request waits and has no
memory of prompts that are not there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import httpx
from langfuse.api import Prompt_Text
from langfuse.api.core.api_error import ApiError

from answerbox.adapters.langfuse_client import TIMEOUT_S, langfuse_api
from answerbox.ports import Prompt

log = logging.getLogger(__name__)

NOT_FOUND = 404


class LangfusePrompts:
    def __init__(self, base_url: str, keys: tuple[str, str], names: Sequence[str], label: str) -> None:
        self._names = names
        self._label = label
        self._known: dict[str, Prompt] = {}
        self._failed = False
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S)
        self._api = langfuse_api(base_url, keys, self._client)

    def get(self, name: str) -> Prompt | None:
        return self._known.get(name)

    async def refresh(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                found = await asyncio.gather(*map(self._asked, self._names))
        except (ApiError, httpx.HTTPError, TimeoutError, ValueError) as exc:
            if not self._failed:  # once an outage
                log.warning("prompts cannot be had from Langfuse (%s); those that are known stay", type(exc).__name__)
            self._failed = True
            return
        self._failed = False
        self._known = {prompt.name: prompt for prompt in found if prompt}

    async def close(self) -> None:
        await self._client.aclose()

    async def _asked(self, name: str) -> Prompt | None:
        try:
            found = await self._api.prompts.get(name, label=self._label, request_options={"max_retries": 0})
        except ApiError as exc:
            if exc.status_code == NOT_FOUND:
                return None
            raise
        if not isinstance(found, Prompt_Text):
            log.warning("Langfuse's prompt %s is a chat; only texts can be used", name)
            return None
        return Prompt(name, found.prompt, found.version)

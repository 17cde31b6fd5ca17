"""A scripted server, and each client in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.client_kit import CALLERS, Caller, Script, scripted

Make = Callable[..., Caller]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setenv("NO_PROXY", "*")
    with scripted() as script:
        yield script


@pytest.fixture(params=CALLERS, ids=["blocking", "asyncio"])
def make(request: pytest.FixtureRequest, script: Script) -> Make:
    """Makes the client with these options."""

    def made(**options: Any) -> Caller:
        caller: Caller = request.param(script.url, options)
        return caller

    return made


@pytest.fixture
def caller(make: Make) -> Caller:
    """A client that tries once."""
    return make(retry_s=0)

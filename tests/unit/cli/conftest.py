"""A scripted service for the commands that talk to one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client_kit import Script, scripted


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    with scripted() as script:
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("ANSWERBOX_URL", script.url)
        yield script

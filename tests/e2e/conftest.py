"""A real, headless Chromium for the tests of the page, and windows in it that are watched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.live import Live

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 60_000
ANSWERS_OF_THE_SERVICE = "Failed to load resource"
"""What the console says of a 401 or a 503: the tests look at what the page makes of it."""

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; `make test-page` installs it")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Opens the page of a service in a window of its own, with the options of Playwright's `new_context`.

    In the end each window must have asked no other origin for anything, and nothing may have failed in it: no script,
    and nothing that its Content-Security-Policy forbids.
    """
    contexts, requested, faults = [], [], []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(ANSWERS_OF_THE_SERVICE):
            faults.append(message.text)

    def open_(live: Live, key: str | None = None, **options: Any) -> Page:
        context = chromium.new_context(**{"locale": "en-US", **options})
        context.set_default_timeout(PATIENCE_MS)
        if key:
            context.add_init_script(f"sessionStorage.setItem('answerbox.key', {json.dumps(key)})")
        page = context.new_page()
        contexts.append((context, live.url))
        page.on("request", lambda request: requested.append((live.url, request.url)))
        page.on("console", note)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(live.url)
        expect(page.locator("#question")).to_be_focused()
        return page

    yield open_
    for context, _ in contexts:
        context.close()
    assert requested
    assert [there for own, there in requested if not there.startswith((f"{own}/", "data:"))] == []
    assert faults == []

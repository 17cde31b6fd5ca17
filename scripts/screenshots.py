"""Pictures of the page into docs/images, with the embedded models and the example news: `make screenshots`."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.live import Live, serving, wait_until

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
NEWS = ROOT / "examples" / "news" / "news.jsonl"
WIDE = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 780}
LIMIT_S = 180.0
LIMIT_MS = 120_000


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), seed_docs="true") as live:
        prepare(live)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium)
            take_all(browser, live)
            browser.close()


def prepare(live: Live) -> None:
    items = [json.loads(line) for line in NEWS.read_text().splitlines()]
    assert live.index(items)["status"] == "succeeded"
    wait_until(lambda: _total(live) > len(items) and not _waiting(live), LIMIT_S, "the manual is indexed")


def _total(live: Live) -> int:
    return int(live.get("/documents?limit=1").json()["total"])


def _waiting(live: Live) -> int:
    return int(live.get("/health").json()["dependencies"]["index"]["detail"]["waiting"])


def take_all(browser: Browser, live: Live) -> None:
    take(answered(browser, live, "Which port does Answerbox use?"), "page-light")
    take(opened(browser, live, color_scheme="dark"), "page-dark")
    question = "На каком порту работает Answerbox?"
    take(answered(browser, live, question, locale="ru-RU"), "page-russian")
    phone = answered(browser, live, "How many stops does tram line 4 have?", viewport=PHONE, device_scale_factor=1.5)
    take(phone, "page-phone")
    passage = answered(browser, live, "Which file formats can be read?", color_scheme="dark")
    passage.locator(".mark").first.click()
    expect(passage.locator("#passage-text mark")).to_be_in_viewport()
    take(passage, "page-passage")


def opened(browser: Browser, live: Live, **options: object) -> Page:
    page = browser.new_page(**{"viewport": WIDE, "locale": "en-US", "reduced_motion": "reduce", **options})  # type: ignore[arg-type]
    page.goto(live.url)
    return page


def answered(browser: Browser, live: Live, question: str, **options: object) -> Page:
    page = opened(browser, live, **options)
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")
    expect(page.locator(".made")).to_be_visible(timeout=LIMIT_MS)
    page.evaluate("() => window.scrollTo(0, 0)")
    return page


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")
    page.close()


if __name__ == "__main__":
    main()

"""The page for everybody: by keyboard alone, on a phone's width, in the dark, in Russian, without motion."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.page_kit import answered, ask, choose, weak_contrasts, widths
from tests.live import Live

PHONE = {"width": 360, "height": 640}
WOMBAT = {"id": "wombat", "title": "Wombat", "text": "The wombat of Narawntapu sleeps sixteen hours. It digs burrows."}
QUESTION = "How long does the wombat of Narawntapu sleep?"
LONG = "w" * 400


def focused(page: Page) -> str:
    """Id, or text, of what has the focus."""
    return str(page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))


def tab_to(page: Page, wanted: str, keys: str = "Tab") -> None:
    for _ in range(40):
        if focused(page) == wanted:
            return
        page.keyboard.press(keys)
    raise AssertionError(f"{wanted} is not reached with {keys}")


def test_everything_is_done_with_the_keyboard(fakes: Live, open_page: OpenPage) -> None:
    fakes.index([WOMBAT])
    page = open_page(fakes)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("input[value=llm]")).to_be_checked()
    page.keyboard.press("ArrowRight")
    expect(page.locator("input[value=rag]")).to_be_checked()
    page.keyboard.press("Tab")
    page.keyboard.type("How long does the wombat")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("of Narawntapu sleep?")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_text(
        "How long does the wombat\nof Narawntapu sleep?", use_inner_text=True
    )
    expect(page.locator(".made")).to_be_visible()
    expect(page.locator("#question")).to_be_focused()
    expect(page.locator("#question")).to_have_value("")
    tab_to(page, "1", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#passage-text mark")).to_contain_text("sleeps sixteen hours")
    page.keyboard.press("Escape")
    expect(page.locator("#passage-dialog")).to_be_hidden()
    assert focused(page) == "1", "the focus is where it was"
    tab_to(page, "open-documents", "Shift+Tab")
    page.keyboard.press("Enter")
    tab_to(page, "files")
    page.keyboard.press("Escape")
    expect(page.locator("#documents-dialog")).to_be_hidden()


def test_what_has_the_focus_shows_it(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    for name in ("open-key", "new-conversation", "language"):
        tab_to(page, name, "Shift+Tab")
        assert page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_on_its_ground(
    fakes: Live, open_page: OpenPage, scheme: Literal["light", "dark"]
) -> None:
    fakes.index([WOMBAT])
    page = open_page(fakes, color_scheme=scheme)
    assert weak_contrasts(page) == []
    turn = answered(page, QUESTION)
    turn.locator(".made summary").click()
    turn.get_by_role("button", name="Good answer").click()
    expect(turn.locator(".told")).not_to_be_empty()
    assert weak_contrasts(page) == []
    turn.locator(".mark").first.click()
    expect(page.locator("#passage-text mark")).to_be_visible()
    assert weak_contrasts(page) == []
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) < 60) == (scheme == "dark")


def test_nothing_is_wider_than_a_phone(fakes: Live, open_page: OpenPage) -> None:
    fakes.index([WOMBAT, {"id": "long", "title": LONG, "text": f"The numbat of Dryandra eats termites. {LONG}"}])
    page = open_page(fakes, viewport=PHONE, has_touch=True)
    assert widths(page) == (360, 360)
    turn = answered(page, QUESTION)
    answer, sources = turn.locator(".answer").bounding_box(), turn.locator(".sources").bounding_box()
    assert answer
    assert sources
    assert sources["y"] >= answer["y"] + answer["height"], "the sources are below"
    turn = answered(page, f"What does the numbat of Dryandra eat? {LONG}")
    assert widths(page) == (360, 360)
    turn.locator(".card").first.tap()
    expect(page.locator("#passage-text .passage")).to_contain_text("termites")
    assert widths(page) == (360, 360)
    page.locator("#passage-dialog [data-close]").tap()
    page.locator("#open-documents").tap()
    expect(page.locator("#documents")).to_contain_text("Wombat")
    assert widths(page) == (360, 360)


def test_on_a_wide_screen_the_sources_stand_beside_the_answer(fakes: Live, open_page: OpenPage) -> None:
    fakes.index([WOMBAT])
    page = open_page(fakes, viewport={"width": 1280, "height": 800})
    turn = answered(page, QUESTION)
    answer, sources = turn.locator(".answer").bounding_box(), turn.locator(".sources").bounding_box()
    assert answer
    assert sources
    assert sources["x"] >= answer["x"] + answer["width"]
    assert abs(sources["y"] - answer["y"]) < 40


def test_a_russian_reader_gets_russian_words_and_may_have_english_ones(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes, locale="ru-RU")
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    expect(page.locator("#send")).to_have_text("Спросить")
    fakes.index([{"id": "sobol", "title": "Соболь", "text": "Соболь живёт в тайге. Мех у соболя густой."}])
    turn = answered(page, "Где живёт соболь?")
    expect(turn.locator(".answer")).to_contain_text("Соболь живёт в тайге.")
    expect(turn.locator(".made summary")).to_have_text("Как получен ответ")
    page.locator("#language").click()
    expect(turn.locator(".made summary")).to_have_text("How it was made")
    expect(page.locator("#question")).to_have_attribute("placeholder", "Ask a question")
    page.reload()
    expect(page.locator("#send")).to_have_text("Ask")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_a_reader_of_another_language_gets_english_words(fakes: Live, open_page: OpenPage) -> None:
    expect(open_page(fakes, locale="ja-JP").locator("#send")).to_have_text("Ask")


def test_nothing_moves_for_who_wants_no_motion(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes, reduced_motion="reduce")
    choose(page, "llm")
    turn = ask(page, "one two three")
    assert page.evaluate("() => document.getAnimations().length") == 0
    expect(turn.locator(".made")).to_be_visible()


def test_the_parts_of_the_page_have_names(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    for role in ("banner", "navigation", "main", "contentinfo"):
        expect(page.get_by_role(role)).to_have_count(1)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea")]
            .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length)).map(String)"""
    )
    assert nameless == []
    expect(page.locator("#announcer")).to_have_attribute("aria-live", "polite")

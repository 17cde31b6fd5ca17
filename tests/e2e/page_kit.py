"""What a reader does on the page, for its tests."""

from __future__ import annotations

from typing import Literal

from playwright.sync_api import Locator, Page, expect

CONTRAST = """() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const color = numbers(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const spoken = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((node) => spoken(node) && node.checkVisibility() && !node.closest("noscript, .hidden"))
    .map((node) => {
      const [a, b] = [light(numbers(getComputedStyle(node).color)), light(ground(node))];
      return [node.textContent.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
}"""
"""Of every visible text (its beginning): the contrast with its ground, as WCAG 2.2 counts it."""


def choose(page: Page, mode: Literal["llm", "rag", "agent"]) -> None:
    page.locator(f"input[value={mode}]").check()


def ask(page: Page, question: str) -> Locator:
    """Asks, and returns the turn as soon as it is there."""
    turns = page.locator(".turn")
    before = turns.count()
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")
    expect(turns).to_have_count(before + 1)
    return turns.nth(before)


def answered(page: Page, question: str) -> Locator:
    """Asks, and returns the turn when it has its answer."""
    turn = ask(page, question)
    expect(turn.locator(".made")).to_be_visible()
    return turn


def weak_contrasts(page: Page) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = page.evaluate(CONTRAST)
    assert len(found) > 5
    return [(text, contrast) for text, contrast in found if contrast < 4.5]


def widths(page: Page) -> tuple[int, int]:
    """Of what the page has, and of the window."""
    has, shows = page.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
    return int(has), int(shows)

"""The page and the tables: whole, escaped, and loading nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from answerbox.evaluation import report, tables
from answerbox.evaluation.compare import compare
from answerbox.evaluation.result import Quotes, Result
from answerbox.evaluation.tables import Table
from tests.unit.evaluation.kit import MemoryDoor, good_door, response, source, tiny_result

EVIL = '<script src="https://evil.example/x.js"></script><img src=x onerror=alert(1)>&'
VOID = {"meta", "line", "rect", "polyline"}


class Outline(HTMLParser):
    """The tags of a page, and whether they are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def evil() -> Result:
    question = "Where does the okapi hide?"
    door = good_door()
    bad = response(EVIL, [source(f"eval/en/{EVIL}", EVIL)])
    found = tiny_result(replace(door, answers={**door.answers, question: bad}))
    rows = [replace(row, question=EVIL, quotes=Quotes(1, [EVIL])) for row in found.answers]
    failed = replace(found.search[0], id=EVIL, error=EVIL)
    return replace(
        found,
        answers=rows,
        search=[failed, *found.search[1:]],
        about=replace(found.about, dataset=EVIL, models={EVIL: EVIL}, options={EVIL: EVIL}),
    )


@pytest.mark.parametrize("found", [tiny_result(), evil(), tiny_result(MemoryDoor())], ids=["good", "evil", "nothing"])
def test_a_page_is_whole_and_loads_nothing(found: Result) -> None:
    page = report.page(found, compare(found, found), [Table(EVIL, [EVIL], [[EVIL]])])
    outline = Outline(page)
    assert outline.open == []
    assert not outline.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [name for name in outline.attributes if name.startswith("on") or name in ("src", "href", "xlink:href")]
    assert not re.search(r"url\(|@import", page)
    assert "<script" not in page


def test_a_page_works_in_light_and_dark() -> None:
    page = report.page(tiny_result())
    assert "color-scheme: light dark" in page
    assert "prefers-color-scheme: dark" in page


def test_wrong_answers_stand_beside_their_sources() -> None:
    page = report.page(tiny_result())
    assert "<h2>Wrong answers: 1</h2>" in page
    wrong = page.partition("<h2>Wrong answers: 1</h2>")[2]
    for text in ("Where does the okapi hide?", "Accepted: in the forest", "It lives in Africa.", "the right document"):
        assert text in wrong
    assert "What does the zebra wear?" not in wrong


def test_refused_and_unrefused_questions_and_misses_are_listed() -> None:
    page = report.page(tiny_result(MemoryDoor(answers={"Who is the king?": response("A lion.")})))
    for title in (
        "Refused, but the documents tell: 3",
        "Answered, but the documents do not tell: 1",
        "Not among the first 10 documents of a search: 3",
    ):
        assert f"<h2>{title}</h2>" in page
    assert "Wrong answers" not in page


def test_failed_requests_are_listed() -> None:
    found = tiny_result(replace(good_door(), broken=frozenset({"Who is the king?"})))
    page = report.page(found)
    assert "<h2>Failed requests: 1</h2>" in page
    assert "en/u1: overloaded: Too much waits." in page


def test_tables_have_a_column_for_each_language() -> None:
    search, answers = tables.of_result(tiny_result())
    assert (search.title, search.header) == ("Search", ["", "English", "Russian"])
    [row] = [row for row in answers.rows if row[0] == "unanswerable and refused"]
    assert row[1:] == ["1.000 (1.000–1.000)", "–"]


def test_markdown_escapes_what_divides_its_cells() -> None:
    table = Table("T", ["", "a"], [["x|y", "1"]])
    assert tables.markdown(table) == "| T | a |\n|---|---|\n| x\\|y | 1 |"

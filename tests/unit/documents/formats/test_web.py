"""HTML pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from answerbox.errors import InvalidRequest
from tests.file_kit import read_one

PAGE = """<!doctype html><html><head><title>T &amp; x</title><style>p {}</style></head><body>
<nav>menu</nav><main><h1>Head</h1><script>bad()</script>
<p>Hello <a href="http://127.0.0.1:9/x">link</a>, a_b <b>bold</b>.</p><img src="http://127.0.0.1:9/y.png" alt="picture">
<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table><ul><li>x</li><li>y</li></ul></main>
<footer>imprint</footer></body></html>"""


def test_the_main_part_becomes_markdown(tmp_path: Path) -> None:
    document = read_one(tmp_path, "a.HTML", PAGE)
    assert document.title == "T & x"
    assert document.text == ("# Head\n\nHello link, a_b **bold**.\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n- x\n- y")


def test_a_page_without_a_main_part_is_read_whole(tmp_path: Path) -> None:
    document = read_one(tmp_path, "dir/page.htm", "<p>one<p>two <main></main>")
    assert document.text == "one\n\ntwo"
    assert document.title == "page"


def test_the_encoding_that_the_page_declares_is_used(tmp_path: Path) -> None:
    page = '<meta charset="iso-8859-7"><title>Ελλάδα</title><p>Καλημέρα'
    document = read_one(tmp_path, "a.html", page.encode("iso-8859-7"))
    assert (document.title, document.text) == ("Ελλάδα", "Καλημέρα")


@pytest.mark.parametrize("charset", ["no-such", "zip", "utf-8"])
def test_a_wrong_declaration_is_passed_over(charset: str, tmp_path: Path) -> None:
    page = f'<meta charset="{charset}"><p>Привет, мир'
    assert read_one(tmp_path, "a.html", page.encode("cp1251")).text == "Привет, мир"


@pytest.mark.parametrize("page", ["<title>x</title>", "<script>1</script>", "<!-- x -->"])
def test_a_page_without_text_is_refused(page: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="has no text in it"):
        read_one(tmp_path, "a.html", page)


def test_a_page_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nested too deeply"):
        read_one(tmp_path, "a.html", "<div>" * 20_000)

"""HTML as Markdown. Nothing that a page names is ever fetched."""

from __future__ import annotations

import re
from pathlib import Path

from answerbox.documents.formats.base import Content, sensible_title, tidy
from answerbox.documents.formats.encoding import read_text

DROPPED = [
    "head",
    "title",
    "script",
    "style",
    "noscript",
    "template",
    "iframe",
    "object",
    "embed",
    "svg",
    "canvas",
    "audio",
    "video",
    "img",
    "picture",
    "nav",
    "button",
    "select",
    "textarea",
    "input",
]
MAX_SPAN = 50
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w:.-]{1,40})""", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*\n")


def read_web(path: Path) -> Content:
    with path.open("rb") as file:
        declared = _CHARSET.search(file.read(4_096))
    text, title = markdown(tidy(read_text(path, declared[1].decode() if declared else None)))
    return Content(text, title=title)


def markdown(html: str) -> tuple[str, str | None]:
    """The main part of a page, and its title. Links keep their words only."""
    from bs4 import BeautifulSoup, Tag
    from markdownify import ATX, MarkdownConverter

    soup = BeautifulSoup(html, "html.parser")
    title = sensible_title(soup.title.get_text()) if soup.title else None
    for tag in soup.find_all(DROPPED):
        tag.extract()
    for tag in soup.find_all(colspan=True):
        if not 1 <= int("0" + re.sub(r"\D", "", str(tag["colspan"]))[:6]) <= MAX_SPAN:
            del tag["colspan"]
    main = soup.find("main")
    root = main if isinstance(main, Tag) and main.get_text(strip=True) else soup
    converter = MarkdownConverter(
        heading_style=ATX,
        bullets="-",
        strip=["a"],
        table_infer_header=True,
        escape_asterisks=False,
        escape_underscores=False,
    )
    made = str(converter.convert_soup(root))
    return _BLANK_LINES.sub("\n\n", tidy(made)).strip(), title

"""The files of the page, through the edge, in process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from answerbox.service import page
from answerbox.service.documents_api import documents_app
from answerbox.service.edge import Edge
from answerbox.settings import Settings
from tests.http.asgi import App, Call

MODULE = re.compile(r'from "\./([\w.]+)"')
PLACE = re.compile(r'(?:src|href)="([^"#][^"]*)"')


@pytest.fixture
def app(tmp_path: Path) -> App:
    return Edge(documents_app, Settings(data_dir=tmp_path))


@pytest.fixture
def switched_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ANSWERBOX_PAGE", "false")
    page._is_on.cache_clear()
    yield
    page._is_on.cache_clear()


async def get(app: App, path: str, method: str = "GET", **headers: str) -> Call:
    call = Call(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    await call.run(app)
    return call


async def test_the_page_and_all_that_it_names_are_served_and_nothing_is_inline(app: App) -> None:
    index = await get(app, "/")
    assert (index.status, index.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = index.body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text)
    named = set(PLACE.findall(text))
    assert {"ui/main.js", "ui/page.css", "ui/icon.svg"} <= named
    for place in named:
        assert (await get(app, f"/{place}")).status == 200, place


async def test_every_module_that_is_imported_is_there_and_every_file_is_reachable(app: App) -> None:
    seen, waiting = {"index.html"}, ["main.js"]
    seen |= {place.removeprefix("ui/") for place in PLACE.findall((await get(app, "/")).body.decode())}
    seen |= set(re.findall(r'url\("(.+?)"\)', (await get(app, "/ui/page.css")).body.decode()))
    while waiting:
        name = waiting.pop()
        answer = await get(app, f"/ui/{name}")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
        new = set(MODULE.findall(answer.body.decode())) - seen
        seen |= new
        waiting += new
    assert seen == {path.name for path in page.FOLDER.iterdir()}


async def test_the_policy_lets_nothing_in_from_elsewhere(app: App) -> None:
    headers = (await get(app, "/")).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/ui/main.js"])
async def test_a_browser_that_has_the_file_is_told_so_under_the_same_policy(app: App, path: str) -> None:
    first = await get(app, path)
    assert first.headers["cache-control"] == "no-cache"
    again = await get(app, path, if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert (await get(app, path, if_none_match='"other"')).status == 200


@pytest.mark.parametrize("name", ["nope.js", "../settings.py", "%2e%2e/settings.py", "index.html/x", "..", "/passwd"])
async def test_other_files_are_not_there(app: App, name: str) -> None:
    answer = await get(app, f"/ui/{name}")
    assert (answer.status, answer.problem()["code"]) == (404, "route_not_found")


async def test_a_file_is_only_read(app: App) -> None:
    assert (await get(app, "/ui/main.js", "POST", content_type="application/json")).status == 405


@pytest.mark.usefixtures("switched_off")
async def test_a_service_without_a_page_says_what_there_is_instead(app: App) -> None:
    answer = await get(app, "/")
    assert answer.headers["content-type"] == "application/json"
    assert b"/rag_query" in answer.body
    assert (await get(app, "/ui/main.js")).status == 404


def test_the_page_names_no_address() -> None:
    for path in page.FOLDER.iterdir():
        assert set(re.findall(r"https?://[^\s\"')]+", path.read_text())) <= {"http://www.w3.org/2000/svg"}, path.name


def test_the_page_makes_no_html_of_text() -> None:
    ways = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function")
    assert [path.name for path in page.FOLDER.iterdir() if ways.search(path.read_text())] == []

"""The page while an answer is made, and when it fails: a service with keys, and a model that is told what to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import FilePayload, Page, expect

from answerbox import keys
from tests.e2e.conftest import OpenPage
from tests.e2e.page_kit import answered, ask, choose
from tests.live import Live, serving, wait_until
from tests.openai_server import Answer, OpenAIServer, calling, openai_server, saying

TEXT = "The ferry to Kizhi leaves at nine. A ticket costs 450 roubles. The trip takes 75 minutes."
LIGHTHOUSE = (
    "A first part, which tells of nothing.\n\n" * 80
    + "The 🗼 lighthouse of Tarkhankut is 38 metres high. It was lit in 1817.\n\n"
    + "A last part, which tells of nothing.\n\n" * 80
)
SEARCH = ("search_documents", '{"query": "price of a ticket for the ferry to Kizhi"}')
SUM = ("calculator", '{"expression": "450 * 4"}')
WORDS = ("One ", "two ", "three ", "four.")


class Service:
    """A live service, and its file of keys."""

    def __init__(self, live: Live, path: Path) -> None:
        self.live = live
        self._path = path

    def key(self, *scopes: str, expires_at: datetime | None = None, per_minute: int | None = None) -> str:
        made, _ = keys.create(
            self._path,
            uuid4().hex,
            scopes or ("query", "documents:write"),
            expires_at=expires_at,
            requests_per_minute=per_minute,
        )
        return made


@pytest.fixture(scope="module")
def engine() -> Iterator[OpenAIServer]:
    with openai_server() as server:
        yield server


@pytest.fixture(scope="module")
def service(engine: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("page")
    with serving(folder, llm_base_url=engine.url, embedder_model="fake", stream_heartbeat_s="1") as live:
        lighthouse = {"id": "light/house", "title": "Tarkhankut", "text": LIGHTHOUSE}
        assert live.index([{"id": "ferry", "title": "Ferry", "text": TEXT}, lighthouse])["status"] == "succeeded"
        yield Service(live, folder / "data" / "keys.json")  # from its first key on every request needs one


@pytest.fixture
def script(engine: OpenAIServer) -> Iterator[OpenAIServer]:
    engine.renew()
    yield engine
    engine.answer.release.set()
    for answer in engine.answers:
        answer.release.set()


def opened(service: Service, open_page: OpenPage, mode: str = "llm") -> Page:
    page = open_page(service.live, service.key())
    choose(page, mode)  # type: ignore[arg-type]
    return page


def test_words_are_there_before_the_answer_ends(service: Service, open_page: OpenPage, script: OpenAIServer) -> None:
    script.answer = Answer(WORDS, hold_at=2)
    page = opened(service, open_page)
    turn = ask(page, "Count.")
    expect(turn.locator(".stream")).to_have_text("One two")
    expect(turn.locator(".answer")).to_have_attribute("aria-busy", "true")
    expect(page.locator("#stop")).to_be_visible()
    expect(turn.locator(".made")).to_have_count(0)
    script.answer.release.set()
    expect(turn.locator(".answer p")).to_have_text("One two three four.")
    expect(page.locator("#announcer")).to_have_text("The answer: One two three four.")
    expect(page.locator("#stop")).to_be_hidden()


def test_escape_stops_the_answer_and_what_there_is_stays(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = Answer(WORDS, hold_at=2)
    page = opened(service, open_page)
    turn = ask(page, "Count.")
    expect(turn.locator(".stream")).to_have_text("One two")
    with page.expect_response(re.compile("/requests/")) as stopped:
        page.keyboard.press("Escape")
    assert stopped.value.status == 204
    expect(turn.locator(".notes")).to_contain_text("stopped")
    expect(turn.locator(".answer")).to_have_text("One two")
    wait_until(lambda: not script.running, 30, "the model is not asked on")
    script.answer = saying("Yes.")
    expect(answered(page, "Again?").locator(".answer")).to_have_text("Yes.")


def test_words_that_the_documents_do_not_bear_are_taken_back(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = Answer(("It costs ", "9000 ", "dollars."), hold_at=2)
    page = opened(service, open_page, "rag")
    turn = ask(page, "What does a ticket for the ferry to Kizhi cost?")
    expect(turn.locator(".stream")).to_have_text("It costs 9000")
    script.answer.release.set()
    expect(turn.locator(".answer")).to_contain_text("A ticket costs 450 roubles.")
    expect(turn.locator(".answer")).not_to_contain_text("9000")
    expect(turn.locator(".notes")).to_contain_text("word for word")
    expect(turn.locator(".notes")).to_contain_text("numbers that the documents lack")


def test_a_mark_opens_the_exact_passage_in_its_document(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = saying("It was lit in 1817 [1]. The lighthouse of Tarkhankut is 38 metres high [1].")
    page = opened(service, open_page, "rag")
    turn = answered(page, "How high is the lighthouse of Tarkhankut?")
    expect(turn.locator(".card strong").first).to_have_text("Tarkhankut")
    expect(turn.locator(".mark")).to_have_text(["1", "1"])
    text, marked = page.locator("#passage-text"), page.locator("#passage-text mark")
    for mark, sentence in enumerate(("It was lit in 1817.", "The 🗼 lighthouse of Tarkhankut is 38 metres high.")):
        turn.locator(".mark").nth(mark).click()
        expect(text).to_have_text(LIGHTHOUSE)
        expect(marked).to_have_text(sentence)
        expect(marked).to_be_in_viewport()
        page.keyboard.press("Escape")
        expect(page.locator("#passage-dialog")).to_be_hidden()
    expect(page.locator("#passage-title")).to_have_text("Tarkhankut")
    expect(page.locator("#passage-note")).to_be_hidden()


def test_what_the_documents_do_not_tell_is_seen_as_such(service: Service, open_page: OpenPage) -> None:
    page = opened(service, open_page, "rag")
    turn = answered(page, "Xylophone quartz?")
    expect(turn.locator(".notes")).to_contain_text("No passage was found")
    expect(turn.locator(".sources")).to_be_hidden()


def test_the_agents_steps_are_watched(service: Service, open_page: OpenPage, script: OpenAIServer) -> None:
    held = Answer(("Four tickets cost ", "1800 roubles [1]."), hold_at=1)
    script.answers = [calling(SEARCH, words=("Let me see. ",)), calling(SUM), held]
    page = opened(service, open_page, "agent")
    turn = ask(page, "What do four tickets cost?")
    steps = turn.locator(".steps li")
    expect(steps).to_have_count(2)
    expect(steps.nth(0)).to_contain_text("Search the documents price of a ticket for the ferry to Kizhi done")
    expect(steps.nth(1)).to_contain_text("Calculate 450 * 4 done")
    expect(turn.locator(".stream")).to_have_text("Four tickets cost")
    expect(turn.locator(".answer")).to_have_attribute("aria-busy", "true")
    expect(turn.locator(".card")).to_contain_text("Ferry")
    held.release.set()
    expect(turn.locator(".answer")).to_contain_text("1800 roubles")
    expect(turn.locator(".answer")).not_to_contain_text("Let me see")
    steps.nth(1).locator("summary").click()
    expect(steps.nth(1).locator(".result")).to_contain_text("1800")
    turn.locator(".mark").first.click()
    expect(page.locator("#passage-text .passage")).to_contain_text("450 roubles")


def test_a_tool_that_fails_is_seen_as_failed(service: Service, open_page: OpenPage, script: OpenAIServer) -> None:
    script.answers = [calling(("calculator", '{"expression": "1 / 0"}')), saying("I cannot tell.")]
    page = opened(service, open_page, "agent")
    turn = answered(page, "What is one by nothing?")
    expect(turn.locator(".steps li .status.bad")).to_have_count(1)


def test_a_failure_says_what_happened_and_can_be_tried_again(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = Answer(status=401, body={"error": {"message": "secret of the inside"}})
    page = opened(service, open_page)
    turn = ask(page, "Hello?")
    problem = turn.locator(".problem")
    expect(problem).to_be_visible()
    expect(problem).to_have_attribute("role", "alert")
    expect(problem).to_contain_text(re.compile("Request [0-9a-f]{32}"))
    expect(problem).not_to_contain_text("secret of the inside")
    expect(problem.locator(".problem-title")).not_to_be_empty()


def test_an_answer_that_breaks_off_is_a_failure_too(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = Answer(WORDS, cut_at=2)
    page = opened(service, open_page)
    turn = ask(page, "Count.")
    expect(turn.locator(".problem")).to_be_visible()
    expect(turn.locator(".stream")).to_have_text("One two")


def test_a_wrong_field_is_named(service: Service, open_page: OpenPage) -> None:
    page = opened(service, open_page)
    page.evaluate("() => sessionStorage.setItem('answerbox.session', 'not an id')")
    page.reload()
    turn = ask(page, "Hello?")
    expect(turn.locator(".problem li code")).to_have_text("session_id")


def test_who_has_had_the_share_of_a_key_sees_how_long_to_wait(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = saying("Yes.")
    page = open_page(service.live, service.key(per_minute=1))
    choose(page, "llm")
    answered(page, "Once?")
    turn = ask(page, "Twice?")
    again = turn.locator(".again")
    expect(again).to_be_disabled()
    expect(again).to_have_text(re.compile(r"Ask again in \d+ s"))
    expect(turn.locator(".problem-title")).to_have_text("This key has had its share for now.")
    first = again.inner_text()
    expect(again).not_to_have_text(first)


@pytest.mark.parametrize("kind", ["none", "wrong", "expired"])
def test_without_a_valid_key_the_page_asks_for_one_and_keeps_the_question(
    service: Service, open_page: OpenPage, script: OpenAIServer, kind: str
) -> None:
    script.answer = saying("Now you may.")
    expired = service.key("query", expires_at=datetime.now(UTC) - timedelta(minutes=1))
    page = open_page(service.live)
    choose(page, "llm")
    if kind != "none":
        page.locator("#open-key").click()
        page.locator("#key-value").fill(expired if kind == "expired" else "ab_wrong")
        page.keyboard.press("Enter")
    page.locator("#question").fill("May I ask?")
    page.keyboard.press("Enter")
    expect(page.locator("#key-reason")).to_be_visible()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#question")).to_have_value("May I ask?")
    page.locator("#key-value").fill(service.key("query"))
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".turn .answer")).to_have_text("Now you may.")


def test_a_key_is_kept_for_the_tab_or_by_choice_for_longer(
    service: Service, open_page: OpenPage, script: OpenAIServer
) -> None:
    script.answer = saying("Yes.")
    page = open_page(service.live)
    stores = "() => [sessionStorage.getItem('answerbox.key'), localStorage.getItem('answerbox.key')]"
    key = service.key("query")
    for box, kept in ((False, [key, None]), (True, [None, key])):
        page.locator("#open-key").click()
        page.locator("#key-value").fill(key)
        page.locator("#key-remember").set_checked(box)
        page.keyboard.press("Enter")
        expect(page.locator("#key-dialog")).to_be_hidden()
        assert page.evaluate(stores) == kept
    assert key not in page.url
    page.locator("#open-key").click()
    page.locator("#key-forget").click()
    assert page.evaluate(stores) == [None, None]


def test_a_key_that_may_not_add_documents_is_told_so(service: Service, open_page: OpenPage) -> None:
    page = open_page(service.live, service.key("query"))
    page.locator("#open-documents").click()
    expect(page.locator("#documents")).to_contain_text("Ferry")
    page.locator("#files").set_input_files(FilePayload(name="a.txt", mimeType="text/plain", buffer=b"Text."))
    expect(page.locator(".job .problem-title")).to_have_text("This key may not do that.")

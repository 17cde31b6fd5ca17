"""The page in a real Chromium, over a live service with the doubles: answers, sources, documents, feedback."""

from __future__ import annotations

import json
import re

from playwright.sync_api import FilePayload, Page, Request, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.page_kit import answered, ask, choose
from tests.e2e.test_feedback import kept
from tests.live import Live

HOSTILE = (
    "The quagga zebra lives here <img src=x onerror='window.harmed = 1'> "
    "<script>window.harmed = 2</script> [quagga](javascript:window.harmed=3)."
)
DROP = """([name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name, { type: "text/plain" }));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: files, bubbles: true, cancelable: true }));
  }
}"""


def test_a_question_is_answered_by_the_model_alone(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    choose(page, "llm")
    turn = answered(page, "one two three")
    expect(turn.locator(".question")).to_have_text("one two three")
    expect(turn.locator(".answer p")).to_have_text("one two three")
    expect(turn.locator(".sources")).to_be_hidden()
    expect(page.locator("#announcer")).to_contain_text("one two three")
    expect(page.locator("#welcome")).to_be_hidden()


def test_an_example_is_a_question_of_one_click(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    choose(page, "llm")
    page.locator("#examples button").first.click()
    expect(page.locator(".turn .question")).to_have_text("What is the capital of France?")
    expect(page.locator(".turn .made")).to_be_visible()


def test_the_passage_of_a_document_that_is_gone_is_shown_as_it_was(fakes: Live, open_page: OpenPage) -> None:
    fakes.index([{"id": "brief", "title": "Brief", "text": "The axolotl of Xochimilco regrows its legs."}])
    page = open_page(fakes)
    turn = answered(page, "What does the axolotl of Xochimilco regrow?")
    with fakes.client() as client:
        assert client.delete("/documents/brief").status_code == 204
    turn.locator(".card").first.click()
    expect(page.locator("#passage-note")).to_contain_text("cannot be opened")
    expect(page.locator("#passage-text .passage")).to_contain_text("axolotl of Xochimilco regrows")


def test_files_by_choice_are_added_while_their_job_is_watched(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    page.locator("#open-documents").click()
    text = b"The okapi of Ituri has striped legs."
    good = FilePayload(name="okapi.txt", mimeType="text/plain", buffer=text)
    broken = FilePayload(name="broken.pdf", mimeType="application/pdf", buffer=b"%PDF-1.7 no more than this")
    page.locator("#files").set_input_files([good, broken])
    job = page.locator(".job")
    expect(job.locator(".status")).to_have_text("Failed")
    expect(job.locator(".faults")).to_contain_text("broken.pdf")
    expect(job.locator("progress")).to_have_js_property("value", 2)
    expect(page.locator("#documents")).to_contain_text("okapi")
    page.locator("#documents-dialog [data-close]").click()
    turn = answered(page, "What legs has the okapi of Ituri?")
    expect(turn.locator(".answer")).to_contain_text("striped legs")


def test_a_file_that_is_dropped_on_the_page_is_added_and_deleted_again(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    page.evaluate(DROP, ["saiga-antelope.txt", "The saiga of Betpak-Dala has a nose like a trunk."])
    expect(page.locator(".job .status")).to_have_text("Added")
    row = page.locator("#documents li").filter(has_text="saiga-antelope")
    expect(row).to_have_count(1)
    row.get_by_role("button").click()
    expect(row.get_by_role("button")).to_have_text("Really delete")
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    with fakes.client() as client:
        found = client.get("/documents", params={"limit": 200}).json()["documents"]
    assert "saiga" not in json.dumps(found)


def test_a_thumb_and_a_word_are_kept(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    choose(page, "llm")
    turn = answered(page, "hello")
    with page.expect_response(re.compile("/feedback")) as thumb:
        turn.get_by_role("button", name="Bad answer").click()
    expect(turn.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    expect(turn.locator(".told")).to_have_text("Thank you, it is kept.")
    score_id = thumb.value.json()["score_id"]
    assert [row[2:4] for row in kept(fakes, score_id)] == [(-1.0, None)]
    turn.get_by_role("textbox").fill("Too short.")
    with page.expect_response(re.compile("/feedback")) as word:
        turn.get_by_role("textbox").press("Enter")
    assert word.value.status == 202
    assert [row[2:4] for row in kept(fakes, score_id)] == [(-1.0, "Too short.")]


def test_what_a_document_says_is_never_a_part_of_the_page(fakes: Live, open_page: OpenPage) -> None:
    title = "<b onmouseover='window.harmed = 4'>Zebra</b>"
    fakes.index([{"id": "<i>zebra</i>", "title": title, "uri": "javascript:window.harmed=5", "text": HOSTILE}])
    page = open_page(fakes)
    turn = answered(page, "Where does the quagga zebra live? <img src=x onerror='window.harmed = 6'>")
    card = turn.locator(".card").first
    expect(card.locator("strong")).to_have_text(title)
    expect(card.locator(".snippet")).to_contain_text("<script>window.harmed = 2</script>")
    card.click()
    expect(page.locator("#passage-text")).to_have_text(HOSTILE)
    card_title = page.locator("#passage-title")
    expect(card_title).to_have_text(title)
    card_title.hover()
    assert page.evaluate("() => window.harmed ?? null") is None
    assert _made_of_text(page) == 0


def test_a_new_conversation_forgets_the_old_one(fakes: Live, open_page: OpenPage) -> None:
    page = open_page(fakes)
    choose(page, "agent")
    with page.expect_request(re.compile("agent_query/stream")) as asked:
        turn = ask(page, "What colour has the zebra?")
    first = _session_of(asked.value)
    expect(turn.locator(".made")).to_be_visible()
    with page.expect_response(re.compile(f"/sessions/{first}")) as forgotten:
        page.locator("#new-conversation").click()
    assert forgotten.value.status == 204
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.locator("#welcome")).to_be_visible()
    with page.expect_request(re.compile("agent_query/stream")) as asked:
        turn = ask(page, "What colour has the zebra?")
    assert _session_of(asked.value) != first
    expect(turn.locator(".made")).to_be_visible()


def _session_of(request: Request) -> str:
    return str(json.loads(request.post_data or "")["session_id"])


def _made_of_text(page: Page) -> int:
    return page.locator("#thread img, #thread script, #thread b, #passage-dialog :is(img, script, b, i, a)").count()

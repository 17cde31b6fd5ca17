"""OpenAI's door, with the clients that people have: `openai` and LangChain, against a service that asks for keys."""

from __future__ import annotations

import base64
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from answerbox.service.openai_models import CHAT, EMBEDDING, names
from tests.live import BIN, Live, serving, wait_until

TEA = "Green tea is brewed at eighty degrees for two minutes."
DOCUMENT = {"id": "tea", "title": "Tea", "uri": "https://tea.example/green", "text": TEA}
HOW_HOT = "At how many degrees is green tea brewed?"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, str]]:
    """The service and a key."""
    folder = tmp_path_factory.mktemp("door")
    words = ["keys", "create", "door", "--scope", "query", "--scope", "documents:write", "--scope", "metrics"]
    env = {**os.environ, "ANSWERBOX_DATA_DIR": str(folder / "data")}
    done = subprocess.run([BIN / "answerbox", *words], env=env, capture_output=True, text=True, timeout=120, check=True)
    key = done.stdout.strip()
    with serving(folder, generator_model="fake", embedder_model="fake", fake_token_delay_s="0.02") as live:
        posted = _send(live, key, "POST", "/documents", json={"documents": [DOCUMENT]})
        job = f"/jobs/{posted.json()['job_id']}"
        wait_until(lambda: _send(live, key, "GET", job).json()["finished_at"], 60, "the document is there")
        yield live, key


@pytest.fixture(scope="module")
def client(door: tuple[Live, str]) -> openai.OpenAI:
    return _client(*door)


def _client(live: Live, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0, timeout=60)


def _send(live: Live, key: str, method: str, path: str, **options: Any) -> httpx.Response:
    with live.client(60) as client:
        return client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **options)


def _user(content: Any) -> Any:
    return {"role": "user", "content": content}


def test_the_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == list(names())
    assert client.models.retrieve("answerbox-rag").owned_by == "answerbox"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")


def test_an_answer_has_the_form_that_the_client_knows(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(model="answerbox-llm", messages=[_user("one two three")])
    assert done.id == f"chatcmpl-{done._request_id}"
    [choice] = done.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "one two three", "stop")
    assert done.usage
    assert done.usage.completion_tokens == 3
    assert done.usage.total_tokens == done.usage.prompt_tokens + 3
    cut = client.chat.completions.create(model="answerbox-llm", messages=[_user("one two three")], max_tokens=2)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("one two", "length")


def test_all_turns_and_the_callers_system_message_reach_the_model(client: openai.OpenAI) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be very brief."},
        _user([{"type": "text", "text": "My name is Ada."}]),
        {"role": "assistant", "content": "Hello Ada!"},
        _user("Who am I?"),
    ]
    done = client.chat.completions.create(model="answerbox-llm", messages=messages)
    assert done.choices[0].message.content == "Who am I?"
    assert done.usage
    # The double counts words, one for the beginning of each message, and one for the beginning of the answer.
    assert done.usage.prompt_tokens == 3 + 4 + 2 + 3 + len(messages) + 1


def test_a_stream_has_role_deltas_reason_and_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="answerbox-llm",
            messages=[_user("one two three")],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    first, last = chunks[0], chunks[-1]
    assert (first.choices[0].delta.role, first.choices[0].delta.content) == ("assistant", "")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["stop"]
    assert last.choices == []
    assert last.usage
    assert last.usage.completion_tokens == 3
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1


def test_a_stream_ends_as_the_protocol_says(door: tuple[Live, str]) -> None:
    body = {"model": "answerbox-llm", "messages": [_user("one")], "stream": True}
    answer = _send(*door, "POST", "/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: {") for line in lines[:-1])
    assert lines[-1] == "data: [DONE]"
    assert "usage" not in answer.text.replace('"usage": {', "", 1)  # only in the meta of the last chunk


def test_an_answer_from_documents_names_them(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(model="answerbox-rag", messages=[_user(HOW_HOT)], extra_body={"top_k": 1})
    message = done.choices[0].message
    assert message.content
    assert "eighty degrees" in message.content
    assert message.annotations
    cited = message.annotations[0].url_citation
    assert (cited.title, cited.url) == ("Tea", "https://tea.example/green")
    assert message.content[cited.start_index : cited.end_index].startswith("Green tea")
    meta = (done.model_extra or {})["answerbox"]
    assert [source["document_id"] for source in meta["sources"]] == ["tea"]
    assert meta["ignored"] == []


def test_the_agent_is_a_model_too(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(model="answerbox-agent", messages=[_user(HOW_HOT)])
    meta = (done.model_extra or {})["answerbox"]
    assert (meta["pipeline"], meta["plan"]) == ("agent", "search_first"), "the double calls no tools"
    assert "eighty degrees" in (done.choices[0].message.content or "")
    assert done.choices[0].message.annotations


def test_what_a_stream_has_said_is_never_taken_back(client: openai.OpenAI) -> None:
    """The double says the passages again, which no check lets pass."""
    whole = client.chat.completions.create(model="answerbox-rag", messages=[_user(HOW_HOT)])
    assert (whole.model_extra or {})["answerbox"]["grounding"]["mode"] == "quoted"
    chunks = list(client.chat.completions.create(model="answerbox-rag", messages=[_user(HOW_HOT)], stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    found = [one for chunk in chunks for one in (chunk.choices[0].delta.model_extra or {}).get("annotations", [])]
    assert len(found) == len(whole.choices[0].message.annotations or [])


def test_a_filter_keeps_documents_out_and_unknown_parameters_are_named(client: openai.OpenAI) -> None:
    done = client.chat.completions.create(
        model="answerbox-rag",
        messages=[_user(HOW_HOT)],
        store=False,
        extra_body={"filter": {"team": "none"}, "num_ctx": 5},
    )
    meta = (done.model_extra or {})["answerbox"]
    assert (meta["grounding"]["refused"], meta["ignored"]) == (True, ["num_ctx", "store"])


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"temperature": 3}, "temperature"),
        ({"messages": [_user([{"type": "image_url", "image_url": {"url": "data:"}}])]}, "messages.0.content"),
        ({"messages": [_user("a"), {"role": "assistant", "content": "b"}]}, "messages.1.role"),
        ({"messages": [_user("word " * 10_000)]}, None),
    ],
    ids=["n", "tools", "too-hot", "image", "no-question", "too-long"],
)
def test_what_cannot_be_done_is_refused_by_name(client: openai.OpenAI, more: dict[str, Any], param: str | None) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "answerbox-llm", "messages": [_user("a")], **more})
    assert caught.value.param == param
    assert caught.value.code == ("invalid_request" if param else "context_length_exceeded")
    assert caught.value.type == "invalid_request_error"


def test_an_unknown_model_and_a_wrong_key_have_their_own_errors(client: openai.OpenAI, door: tuple[Live, str]) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=[_user("a")])
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.AuthenticationError) as locked:
        _client(door[0], "ab_wrong").chat.completions.create(model="answerbox-llm", messages=[_user("a")])
    assert locked.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as nowhere:
        client.post("/nope", cast_to=object, body={})
    assert nowhere.value.code == "route_not_found"


def test_a_client_that_leaves_a_stream_ends_the_work(client: openai.OpenAI, door: tuple[Live, str]) -> None:
    began = time.monotonic()
    stream = client.chat.completions.create(
        model="answerbox-llm", messages=[_user("word " * 2_000)], max_tokens=2_000, stream=True
    )
    next(iter(stream))
    wait_until(lambda: _running(*door) == 1, 5, "it runs")  # what is told may be a second old
    stream.close()
    gone = 'method="POST",pipeline="llm",route="v1/chat/completions",status="client_gone"'
    wait_until(lambda: gone in _send(*door, "GET", "/metrics").text, 20, "the request has ended")
    wait_until(lambda: _running(*door) == 0, 20, "its generation has ended")
    assert time.monotonic() - began < 35  # all the words take 40 s


def _running(live: Live, key: str) -> int:
    detail = _send(live, key, "GET", "/health").json()["dependencies"]["generator"]["detail"]
    return int(detail["running"])


def test_embeddings_are_the_same_in_both_formats(client: openai.OpenAI, door: tuple[Live, str]) -> None:
    texts = ["green tea", "espresso", "green tea"]
    made = client.embeddings.create(model=EMBEDDING, input=texts)  # the client asks for base64
    plain = client.embeddings.create(model=EMBEDDING, input=texts, encoding_format="float")
    assert [row.embedding for row in made.data] == [pytest.approx(row.embedding, abs=1e-6) for row in plain.data]
    assert made.data[0].embedding == made.data[2].embedding != made.data[1].embedding
    assert (made.usage.prompt_tokens, made.model) == (5, EMBEDDING)
    raw = _send(*door, "POST", "/v1/embeddings", json={"model": EMBEDDING, "input": "a", "encoding_format": "base64"})
    packed = base64.b64decode(raw.json()["data"][0]["embedding"])
    assert sum(value**2 for value in struct.unpack(f"<{len(packed) // 4}f", packed)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "more",
    [{"dimensions": 8}, {"input": [[1, 2]]}, {"input": ""}, {"input": "word " * 600}, {"model": "answerbox-llm"}],
    ids=["dimensions", "tokens", "empty", "too-long", "a-chat-model"],
)
def test_embeddings_that_cannot_be_made_are_refused(client: openai.OpenAI, more: dict[str, Any]) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        client.embeddings.create(**{"model": EMBEDDING, "input": "a", **more})
    assert str(caught.value.param).startswith(next(iter(more)))


@pytest.mark.parametrize("model", [model for model in CHAT if model != "answerbox-custom"])  # none is set here
def test_langchain_chats_and_streams(door: tuple[Live, str], model: str) -> None:
    live, key = door
    chat = ChatOpenAI(model=model, base_url=f"{live.url}/v1", api_key=SecretStr(key), stream_usage=True, max_retries=0)
    talk: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage("Hi."),
        AIMessage("Hello."),
        HumanMessage(HOW_HOT),
    ]
    answer = chat.invoke(talk)
    assert answer.text
    assert isinstance(answer, AIMessage)
    assert answer.usage_metadata
    pieces = list(chat.stream(talk))
    assert "".join(piece.text for piece in pieces) == answer.text
    assert any(piece.usage_metadata == answer.usage_metadata for piece in pieces)


def test_langchain_embeds(door: tuple[Live, str]) -> None:
    live, key = door
    embedder = OpenAIEmbeddings(
        model=EMBEDDING,
        openai_api_base=f"{live.url}/v1",
        openai_api_key=SecretStr(key),
        check_embedding_ctx_length=False,
    )
    [tea, coffee] = embedder.embed_documents(["green tea", "espresso"])
    assert tea == embedder.embed_query("green tea") != coffee

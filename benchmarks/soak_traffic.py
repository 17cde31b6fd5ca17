"""What the clients of the soak do, and what each answer must be.

Of ten requests two are bad, of which each must get its own status and code, and one is aborted. The others must give
what the same service gave in the beginning: an answer is drawn greedily or with a seed, so the same question has the
same words.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx
from tests.live import Live, events

from benchmarks.soak_bad import BAD

PLACES = ("Velmora", "Tarnik", "Oskand", "Brellin", "Hursk", "Medovar", "Silvane", "Korbeth")
RUSSIAN = ("Вельмора", "Тарник", "Осканд", "Бреллин", "Хурск", "Медовар", "Сильван", "Корбет")
JOB_LIMIT_S = 60.0
ANSWER_LIMIT_S = 180.0
ABORT_WITHIN_S = 0.5


@dataclass(frozen=True)
class Question:
    path: str
    body: dict[str, Any]
    document: str | None = None
    """Must be the first of the sources."""

    def __str__(self) -> str:
        return f"{self.path} {json.dumps(self.body, ensure_ascii=False)}"


def questions() -> list[Question]:
    greedy = {"options": {"max_tokens": 48, "temperature": 0}}
    drawn = {"options": {"max_tokens": 48, "temperature": 0.8, "seed": 7}}
    found = [Question("/llm_query", {"question": f"Name a fruit that begins with {c}.", **greedy}) for c in "ABGLMO"]
    found += [Question("/llm_query", {"question": f"Name a bird that begins with {c}.", **drawn}) for c in "CS"]
    for number in range(len(PLACES)):
        english = {"question": f"When does the harbour of {PLACES[number]} open?", **greedy}
        russian = {"question": f"Когда открывается гавань города {RUSSIAN[number]}?", **greedy}
        found.append(Question("/rag_query", english, f"en{number}"))
        found.append(Question("/rag_query", russian, f"ru{number}"))
    return found


def documents() -> list[dict[str, Any]]:
    english = [
        {"id": f"en{n}", "text": f"The harbour of {name} opens at {n + 4} in the morning. It has {n + 3} piers."}
        for n, name in enumerate(PLACES)
    ]
    russian = [
        {"id": f"ru{n}", "text": f"Гавань города {name} открывается в {n + 4} утра. В ней {n + 3} причала."}
        for n, name in enumerate(RUSSIAN)
    ]
    return english + russian


class Told:
    """What came of the requests: counts by kind, and whatever was not as it must be. Safe for threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.failed: list[str] = []
        """5xx that are not a refusal with `Retry-After`, and connections that broke."""
        self._lock = threading.Lock()

    def count(self, kind: str) -> None:
        with self._lock:
            self.counts[kind] += 1


class Wrong(Exception):
    """An answer that is not the right one."""


class Failed(Exception):
    """A failure of the service that nothing explains."""


class Refused(Exception):
    """The service said that it is too busy, and when to come again, in seconds."""

    def __init__(self, after_s: float) -> None:
        super().__init__(after_s)
        self.after_s = after_s


@dataclass
class Client:
    """One of the clients; `run` until `stop` is set. `answers`: the right one to each question."""

    live: Live
    number: int
    answers: Mapping[str, str]
    told: Told
    stop: threading.Event
    _made: int = field(default=0, init=False)

    def run(self) -> None:
        self._draw = random.Random(self.number)
        kinds = {"bad": (self._bad, 2), "aborted": (self._aborted, 1), "good": (self._good, 7)}
        with self.live.client(timeout=ANSWER_LIMIT_S) as self._http:
            while not self.stop.is_set():
                (kind,) = self._draw.choices(list(kinds), [weight for _, weight in kinds.values()])
                self._try(kind, kinds[kind][0])

    def _try(self, kind: str, work: Callable[[], None]) -> None:
        try:
            work()
            self.told.count(kind)
        except Refused as exc:
            self.told.count("refused")
            self.stop.wait(exc.after_s)
        except Wrong as exc:
            self.told.wrong.append(f"{kind}: {exc}"[:500])
        except Exception as exc:  # whatever it is, the soak goes on and tells of it
            self.told.failed.append(f"{kind}: {type(exc).__name__}: {exc}"[:500])

    def _good(self) -> None:
        works = {self._ask: 4, self._stream: 3, self._search: 3, self._document: 1, self._probe: 1}
        self._draw.choices(list(works), list(works.values()))[0]()

    def _ask(self) -> None:
        question = self._draw.choice(QUESTIONS)
        check(question, self._call("POST", question.path, question.body), self.answers)

    def _stream(self) -> None:
        question = self._draw.choice(QUESTIONS)
        with self._http.stream("POST", question.path + "/stream", json=question.body) as response:
            if response.status_code != 200:
                response.read()
                _raise(response)
            *_, (name, data) = events(response)
        if name != "done":
            raise Failed(f"the stream of {question} ended with {name}: {data}")
        check(question, data["response"], self.answers)

    def _search(self) -> None:
        number = self._draw.randrange(len(PLACES))
        hits = self._found(f"harbour {PLACES[number]}")
        if hits[:1] != [f"en{number}"]:
            raise Wrong(f"a search for {PLACES[number]} found {hits}")

    def _document(self) -> None:
        """Put in and found, replaced and found by its new words alone, deleted and not found."""
        self._made += 1
        id_ = f"own{self.number}-{self._made}"
        first, second = (f"{letters}{self.number}x{self._made}" for letters in ("zq", "wv"))
        self._put(id_, first)
        self._see(id_, first, there=True)
        self._put(id_, second)
        self._see(id_, second, there=True)
        self._see_words(id_, second, without=first)
        self._call("DELETE", f"/documents/{id_}", status=204)
        self._see(id_, second, there=False)
        self._call("GET", f"/documents/{id_}", status=404)

    def _put(self, id_: str, word: str) -> None:
        body = {"documents": [{"id": id_, "text": f"The word {word} stands here."}]}
        job = self._call("POST", "/documents", body, status=202)
        end = time.monotonic() + JOB_LIMIT_S
        while not job["finished_at"]:
            if time.monotonic() > end:
                raise Failed(f"the job of {id_} did not end within {JOB_LIMIT_S:.0f} s")
            threading.Event().wait(0.1)
            job = self._call("GET", f"/jobs/{job['job_id']}")

    def _see(self, id_: str, word: str, *, there: bool) -> None:
        if (id_ in self._found(word)) != there:
            raise Wrong(f"{id_} is {'not ' if there else ''}found by {word}")

    def _see_words(self, id_: str, word: str, *, without: str) -> None:
        hits = self._call("POST", "/search", {"query": word})["hits"]
        if any(without in hit["text"] for hit in hits if hit["document_id"] == id_):
            raise Wrong(f"{id_} still has {without}")

    def _found(self, query: str) -> list[str]:
        return [hit["document_id"] for hit in self._call("POST", "/search", {"query": query})["hits"]]

    def _probe(self) -> None:
        for path in ("/health", "/readyz", "/livez", "/documents"):
            self._call("GET", path)

    def _bad(self) -> None:
        bad = self._draw.choice(BAD)
        response = self._http.request(bad.method, bad.path, content=bad.body, headers=bad.headers)
        if (response.status_code, _code(response)) != (bad.status, bad.code):
            if response.status_code >= 500:
                _raise(response)
            raise Wrong(f"{bad}: {response.status_code} {response.text[:200]}")

    def _aborted(self) -> None:
        self._draw.choice([self._leave_stream, self._leave_answer, self._leave_question, self._leave_upload])()

    def _leave_stream(self) -> None:
        question = self._draw.choice(QUESTIONS)
        with self._http.stream("POST", question.path + "/stream", json=question.body) as response:
            for _ in zip(range(self._draw.randrange(1, 12)), response.iter_lines(), strict=False):
                pass

    def _leave_answer(self) -> None:
        question = self._draw.choice(QUESTIONS)
        body = json.dumps(question.body).encode()
        self._send(question.path, body, len(body))

    def _leave_question(self) -> None:
        question = self._draw.choice(QUESTIONS)
        body = json.dumps(question.body).encode()
        self._send(question.path, body, self._draw.randrange(len(body)))

    def _leave_upload(self) -> None:
        body = json.dumps({"documents": [{"id": "half", "text": "A long text. " * 20_000}]}).encode()
        self._send("/documents", body, self._draw.randrange(len(body)))

    def _send(self, path: str, body: bytes, until: int) -> None:
        """Hangs up after so many bytes of the body, and a moment."""
        url = httpx.URL(self.live.url)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((url.host, url.port or 80), timeout=30) as connection:
            connection.sendall(head.encode() + body[:until])
            threading.Event().wait(self._draw.random() * ABORT_WITHIN_S)

    def _call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
        response = self._http.request(method, path, json=body)
        if response.status_code != status:
            _raise(response)
        return dict(response.json()) if "json" in response.headers.get("content-type", "") else {}


def check(question: Question, response: dict[str, Any], answers: Mapping[str, str]) -> None:
    text, meta = response["answer"], response["meta"]
    if text != answers[str(question)] or meta["degraded"]:
        raise Wrong(f"{question}: {text!r}, not {answers[str(question)]!r}; degraded: {meta['degraded']}")
    sources = [source["document_id"] for source in meta.get("sources", [])]
    if question.document and question.document not in sources[:1]:
        raise Wrong(f"{question}: from {sources}")


def _code(response: httpx.Response) -> str:
    return str(response.json().get("code", "")) if response.content else ""


def _raise(response: httpx.Response) -> NoReturn:
    told = f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}"
    if response.status_code == 503 and "retry-after" in response.headers and _code(response) == "overloaded":
        raise Refused(float(response.headers["retry-after"]))
    raise Failed(told) if response.status_code >= 500 else Wrong(told)


QUESTIONS = questions()

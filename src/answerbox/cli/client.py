"""A running service as the command line sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO, Any, Self

import httpx

from answerbox.errors import AnswerboxError, Unavailable, from_wire

READ_TIMEOUT_S = 600


class Client:
    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=httpx.Timeout(READ_TIMEOUT_S, connect=5))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        """The JSON of the answer; nothing where it has no body.

        Raises:
            AnswerboxError: the service's problem, as its own class, with its `trace_id` in `extra`; Unavailable where
                there is no service.
        """
        return self._send(method, path, json=body, headers=headers)

    def upload(
        self, path: str, files: list[tuple[str, tuple[str, IO[bytes], str]]], data: dict[str, str], key: str
    ) -> dict[str, Any]:
        """The JSON of the answer to a form with files. Raises as `call` does."""
        return self._send("POST", path, files=files, data=data, headers={"Idempotency-Key": key})

    def _send(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        try:
            response = self._http.request(method, path, **body)
        except httpx.HTTPError as exc:
            raise self._down(exc) from exc
        if response.is_error:
            raise _problem(response)
        data: dict[str, Any] = response.json() if response.content else {}
        return data

    def finished(
        self, job: dict[str, Any], poll_s: float = 0.2, watch: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """The job when it has ended; `watch` sees how it goes. Raises as `call` does, and for a cancelled job."""
        while not job["finished_at"]:
            if watch:
                watch(job)
            time.sleep(poll_s)
            job = self.call("GET", f"/jobs/{job['job_id']}")
        if job["status"] == "cancelled":
            raise AnswerboxError(f"The job {job['job_id']} was cancelled.")
        return job

    def stream(self, path: str, question: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events of an answer: name and data. Raises as `call` does, also for an `error` event."""
        ended = False
        try:
            with self._http.stream("POST", path, json={"question": question}) as response:
                if response.is_error:
                    response.read()
                    raise _problem(response)
                for name, data in events(response.iter_lines()):
                    if name == "error":
                        raise _error(data["problem"])
                    ended = ended or name == "done"
                    yield name, data
        except httpx.HTTPError as exc:
            raise self._down(exc) from exc
        if not ended:
            raise Unavailable("The answer broke off.", hint="Ask again.")

    def _down(self, exc: httpx.HTTPError) -> Unavailable:
        return Unavailable(
            f"There is no answer from {self._url} ({type(exc).__name__}).",
            hint="Is the service running? `make serve` starts it; --url or ANSWERBOX_URL says where it is.",
        )


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each server-sent event; comments are passed over."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def _problem(response: httpx.Response) -> AnswerboxError:
    try:
        return _error(response.json())
    except ValueError:
        return Unavailable(f"The service answered {response.status_code} without saying why.")


def _error(problem: dict[str, Any]) -> AnswerboxError:
    told = {"trace_id": problem["trace_id"]} if "trace_id" in problem else None
    return from_wire({**problem, "message": problem.get("detail", ""), "extra": told})

"""`docs/errors.md`: every code that a caller can meet, what it means and what to do about it.

    python -m answerbox.service.error_pages > docs/errors.md

Codes, statuses and titles come from the code; here are only the words. A test keeps the copy true.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from dataclasses import dataclass
from typing import Any

from answerbox import errors
from answerbox.adapters.sqlite_jobs import KEPT_DAYS
from answerbox.contracts import LlmRequest
from answerbox.errors import AnswerboxError, InvalidRequest
from answerbox.service import openai_problems, problems
from answerbox.service.uploading import MAX_FILES
from answerbox.settings import Settings
from answerbox.validation import validated

WIDTH = 120
CODE = re.compile(r"`[^`]*`")
NO_BREAK = "\xa0"
AGAIN = "Send the same request again after `Retry-After`. If that does not help,"


@dataclass(frozen=True)
class Advice:
    """`when` it happens, and what the caller can `do` about it; Markdown."""

    when: str
    do: str


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default


def _seconds(setting: str) -> str:
    return f"{_default(setting):g} seconds ({_variable(setting)})"


def _mebibytes(setting: str) -> str:
    return f"{_default(setting) / 2**20:g} MiB ({_variable(setting)})"


def _variable(setting: str) -> str:
    assert setting in Settings.model_fields
    return f"`ANSWERBOX_{setting.upper()}`"


ADVICE: dict[type[AnswerboxError], Advice] = {
    errors.InvalidRequest: Advice(
        "The request breaks the contract: a field is missing, unknown, of another type or outside its bounds. "
        "Parameters of the query string and the headers `X-Request-Timeout` and `Idempotency-Key` are checked too.",
        "Change what `errors` lists, one entry for each wrong field; where there is no `errors`, `detail` and `hint` "
        "say it. `GET /docs.json` has every field with its bounds.",
    ),
    errors.MalformedBody: Advice(
        "The body is not JSON, or the form with files cannot be read. `run_model` raises it for a dict that JSON "
        "cannot say, such as one with a NaN or a set.",
        "Send one JSON object in UTF-8; `detail` says where it breaks off, if that is known. A form must be "
        f"`multipart/form-data` with its `boundary`, and have at most {MAX_FILES} files.",
    ),
    errors.UnsupportedMediaType: Advice(
        "`Content-Type` says that the body is something else than the route takes.",
        "Send `Content-Type: application/json`. `POST /documents` takes `multipart/form-data` as well.",
    ),
    errors.PayloadTooLarge: Advice(
        f"The body is longer than {_mebibytes('max_body_bytes')}, or a form with files is longer than "
        f"{_mebibytes('max_upload_bytes')}.",
        "Send fewer documents or files at once. Whoever runs the service can raise the bound.",
    ),
    errors.BodyTimeout: Advice(
        f"No further piece of the body came for {_seconds('body_silence_s')}, or the body was not complete when the "
        "time of the request was up, or the request's head did not come within those seconds.",
        "Look at the connection, then send the body faster, or in smaller requests.",
    ),
    errors.PromptTooLong: Advice(
        "The prompt, made of question, context and passages, has more tokens than the language model reads at once. "
        "`detail` has both numbers where they are known.",
        "Shorten `question` or `context`, or ask for fewer passages (`top_k`). With a language model's server of your "
        f"own ({_variable('llm_base_url')}) `options.max_tokens` counts too.",
    ),
    errors.Unauthorized: Advice(
        "The service asks for API keys, and the request has none, or one that is unknown or has expired.",
        "Send the key as `Authorization: Bearer KEY` or as `X-API-Key: KEY`. On the service's machine "
        "`answerbox keys create NAME --scope query` makes one.",
    ),
    errors.Forbidden: Advice(
        "The key is known, but it lacks the scope that the route needs, or it speaks for one user only and `user_id` "
        "names another.",
        "Use a key with the scope that `detail` names (`hint` lists those that yours has), or leave `user_id` out.",
    ),
    errors.RateLimited: Advice(
        f"The key has used up its requests of a minute ({_variable('requests_per_minute')}) or its tokens of a day "
        f"({_variable('tokens_per_day')}; the day is UTC's), or has {_default('max_key_requests')} requests "
        f"({_variable('max_key_requests')}) or {_default('max_key_streams')} streams ({_variable('max_key_streams')}) "
        "running. `detail` says which of them, and the bound; a key may have bounds of its own.",
        "Wait as long as `Retry-After` says, or for one of your running requests to end, then send it again. Where "
        "the requests of a minute are bounded, the headers `RateLimit-Remaining` and `RateLimit-Reset` of the answers "
        "show what is left.",
    ),
    errors.NotFound: Advice(
        "What the request names does not exist. The service answers with one of the closer codes: "
        "`route_not_found`, `not_served`, `document_not_found`, `job_not_found`, `session_not_found`, "
        "`request_not_found`, `model_not_found`.",
        "Treat it like these: look at the path and the id.",
    ),
    errors.RouteNotFound: Advice(
        "The service has no such path. With a slash at the end it is another path.",
        "Look for a slip in the path; `GET /docs.json` lists all of them.",
    ),
    errors.NotServed: Advice(
        f"The service serves other pipelines only ({_variable('pipelines')}), and has no part that this path needs; or "
        f"the path is `/custom_query` and {_variable('custom_pipeline')} is not set.",
        "Ask one of the pipelines that are served, or whoever runs the service to serve this one.",
    ),
    errors.DocumentNotFound: Advice(
        "There is no document of this id. The owner counts: with `user_id` only a document of that user is meant, "
        "without it only one that is nobody's.",
        "`GET /documents` lists the ids. Percent-encode the id in the path, and give the `user_id` with which the "
        "document was added.",
    ),
    errors.JobNotFound: Advice(
        f"There is no job of this id. A job that has ended is kept for at least {KEPT_DAYS} days.",
        "Take the `job_id` from the answer to `POST /documents` or `POST /reindex`.",
    ),
    errors.SessionNotFound: Advice(
        "There is no conversation of this `session_id` that belongs to this user. It may have expired, after "
        f"{_seconds('session_s')} without a question.",
        "Nothing is left to delete. Give the `user_id` with which the questions were asked, if there was one.",
    ),
    errors.ModelNotFound: Advice(
        "A request of OpenAI's protocol (`/v1/...`) names a model that the service does not have.",
        "`GET /v1/models` lists the names. Embeddings have a name of their own.",
    ),
    errors.RequestNotFound: Advice(
        "No answer is being generated for the request that `DELETE /requests/{request_id}` names: it has ended, it "
        "has not begun, or there never was one.",
        "If it has ended, there is nothing left to do. Otherwise take the id from the `X-Request-Id` header, or send "
        "a header of your own with the question.",
    ),
    errors.MethodNotAllowed: Advice(
        "The path exists, but does not take this method.",
        "Use one of the methods that the header `Allow` lists.",
    ),
    errors.Conflict: Advice(
        "The state does not allow it: the job that should be cancelled has ended, or the `Idempotency-Key` was used "
        "with another body.",
        "`GET /jobs/{job_id}` tells how the job ended. Use a new `Idempotency-Key` for each new body, and the same "
        "one only to repeat the same body.",
    ),
    errors.Unavailable: Advice(
        "A part of the service is down, and none of the closer codes below says which.",
        f"{AGAIN} `GET /health` says which part is down.",
    ),
    errors.NotReady: Advice(
        "The service has just been started, and models are being loaded or the documents opened; or it is being "
        "stopped, and the request did not end in time.",
        "Send the same request again after `Retry-After`, or wait until `GET /readyz` answers 200.",
    ),
    errors.Overloaded: Advice(
        "So much work waits for the language model that this request would not start before its deadline or within "
        f"{_seconds('generator_queue_wait_s')}; or the line is full ({_variable('generator_queue_tokens')}); or "
        f"{_default('max_requests')} requests ({_variable('max_requests')}) are being answered at this moment; or the "
        "language model's own server is busy.",
        "Send the same request again after `Retry-After`, and send fewer at a time. A smaller `options.max_tokens` "
        "is less work.",
    ),
    errors.GeneratorUnavailable: Advice(
        f"The language model is down or being restarted, or its server ({_variable('llm_base_url')}) cannot be "
        "reached, is silent, or refuses the request.",
        f"{AGAIN} look at `GET /health` and the service's log, and with a server of your own check "
        f"{_variable('llm_base_url')}, {_variable('llm_model')} and {_variable('llm_api_key')}. Of a stream, drop "
        "what came before its `error` event.",
    ),
    errors.EmbedderUnavailable: Advice(
        "The embedding model is down, and the request cannot do without it, such as `POST /reindex`. Questions and "
        "searches can: they go by the words alone, and `degraded` has `vectors`.",
        f"{AGAIN} look at `GET /health` and the service's log.",
    ),
    errors.RerankerUnavailable: Advice(
        f"The reranker ({_variable('reranker_model')}) is down. Questions and searches go on without it, and "
        "`degraded` has `reranker`, so you will hardly meet this code.",
        f"{AGAIN} look at the service's log.",
    ),
    errors.IndexUnavailable: Advice(
        "The documents cannot be read or written: their service is down or does not answer in time, or they could not "
        "be opened. `detail` says what is known.",
        f"{AGAIN} look at the disk of {_variable('data_dir')} and the service's log.",
    ),
    errors.StorageFull: Advice(
        f"The disk of {_variable('data_dir')} is full, so nothing can be written. What was acknowledged is kept, and "
        "questions and searches go on.",
        "Nothing was stored. Make room on the disk, then send the same request again; nothing has to be restarted.",
    ),
    errors.BadUpstream: Advice(
        "A part of the service or the language model's server answered, but what it said makes no sense.",
        "Send the same request again after a pause. If that does not help, look at the service's log, and with a "
        f"server of your own check that {_variable('llm_base_url')} is an OpenAI-compatible one.",
    ),
    errors.DeadlineExceeded: Advice(
        f"The time of the request was up before there was any answer: {_seconds('request_timeout_s')}, or what the "
        "header `X-Request-Timeout` asked for. Once there are words, you get them, with the finish reason `deadline`.",
        "Give it more time: `X-Request-Timeout` takes seconds, up to "
        f"{_default('max_request_timeout_s'):g} ({_variable('max_request_timeout_s')}). Or ask when the service is "
        "less busy.",
    ),
    errors.InternalError: Advice(
        "The service has a bug, or your own `run_model` behind it failed. Nothing of the inside is told.",
        "Tell whoever runs the service the `request_id`: its log has the details under it.",
    ),
}

EXAMPLE_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FIELDS: dict[str, str] = {
    "type": "`urn:answerbox:problem:` and the code: a name, not an address to fetch",
    "title": "the phrase of the status",
    "status": "the HTTP status, once more",
    "detail": "what is wrong this time, for people; its wording may change",
    "instance": "the path of the request",
    "code": "which failure it is, for programs; it does not change",
    "request_id": "the same as in the header `X-Request-Id`; the service's log has it too",
    "trace_id": "where the request stands in the traces: the caller's own trace where it sent a `traceparent`",
    "retryable": "whether the same request may succeed later",
    "hint": "what to change; left out where there is nothing to say",
    "errors": "single faults, each with `field` and `message`; left out where there are none",
}


def published() -> list[type[AnswerboxError]]:
    """The classes whose code a caller can meet, by status. Every 500 is `internal` to him."""
    known = [cls for cls in errors.tree() if cls.__module__ == errors.__name__]
    return sorted((cls for cls in known if _document(cls)["code"] == cls.code), key=lambda cls: problems.STATUS[cls])


def page() -> str:
    parts = ["# Errors", _opening(), _fields(), "For example, a temperature that is too high:", _example()]
    parts += [_trying_again(), _streams(), _openai(), _in_python(), _overview(), *map(_section, published())]
    return "\n\n".join(parts) + "\n"


def _opening() -> str:
    return _wrapped(
        "Every answer of the service that is not 2xx has one shape (but for OpenAI's protocol, see below): a problem "
        "document of RFC 9457, with the content "
        f"type `{problems.MEDIA_TYPE}`. This page lists every `code` that it can have. It is made from the code "
        "(`src/answerbox/service/error_pages.py`); do not edit it by hand. A number before a setting in brackets is "
        "the setting's default. Only what is no valid HTTP never gets so far: the HTTP server refuses it with 400 and "
        "plain text."
    )


def _fields() -> str:
    return "\n".join(["| field | what it says |", "|---|---|", *(f"| `{name}` | {FIELDS[name]} |" for name in FIELDS)])


def _example() -> str:
    try:
        validated(LlmRequest, {"question": "Who?", "options": {"temperature": 3}})
    except InvalidRequest as exc:
        document = problems.problem(exc, "8c2f5a0e6d1b4f7c9a3e5d7f1b2c4a6e", "/llm_query", EXAMPLE_TRACE)
        return f"```json\n{json.dumps(document, indent=2)}\n```"
    raise AssertionError("the example keeps the contract")


def _trying_again() -> str:
    waiting = {problems.STATUS[cls] for cls in published() if _tells_when(cls)}
    pausing = {problems.STATUS[cls] for cls in published() if cls.retryable} - waiting
    return _wrapped(
        "**Trying again.** Where `retryable` is `true`, the same request may succeed later. Where it is `false`, do "
        f"not just repeat it: something has to change first. Every {_listed(sorted(waiting))} has the header "
        f"`Retry-After`: wait so many seconds, then send the request again. With {_listed(sorted(pausing))} choose "
        "the pause yourself, such as one second, and twice as long each further time. Send `POST /documents` with an "
        "`Idempotency-Key`, so that nothing is indexed twice."
    )


def _streams() -> str:
    return _wrapped(
        f"**Streams.** A stream that fails before its first words, and within {_seconds('stream_heartbeat_s')}, "
        "answers like any other request. Once it has begun, its status is 200 and cannot change: then its last event "
        'is `error` instead of `done`, with the data `{"problem": ...}`, which is the same document. A stream that '
        "ends with neither was cut off."
    )


def _openai() -> str:
    codes = _listed([f"`{ours}` is `{theirs}`" for ours, theirs in openai_problems.CODES.items()])
    return _wrapped(
        '**OpenAI\'s protocol.** Under `/v1/` the same failures are `{"error": {"message", "type", "param", "code"}}`, '
        f"with the same statuses, but 400 in the place of 422, and the same codes, but {codes}. `param` is the first "
        "field that is wrong. A stream that fails in the middle ends with this object and without `[DONE]`."
    )


def _in_python() -> str:
    setup = _listed([f"`{cls.__name__}`" for cls in errors.tree(errors.SetupError)])
    return _wrapped(
        "**In Python.** `run_model` raises the class of `answerbox.errors` with the same `code`; each section names "
        "it. All of them are `AnswerboxError`, with `message` (the `detail`), `hint`, `errors` and `retryable`. "
        f"{setup} are for whoever sets the service up: `run_model` and the start of the service raise them, and over "
        "HTTP they are never seen."
    )


def _overview() -> str:
    rows = [
        f"| [`{cls.code}`](#{cls.code}) | {problems.STATUS[cls]} | {'yes' if cls.retryable else 'no'} |"
        for cls in published()
    ]
    return "\n".join(["| code | status | retryable |", "|---|---|---|", *rows])


def _section(cls: type[AnswerboxError]) -> str:
    document, advice = _document(cls), ADVICE[cls]
    first = f"**{document['status']} {document['title']}**, {_again(cls)}. In Python: `{cls.__name__}`."
    parts = [f"## {cls.code}", first, _wrapped(f"**When.** {advice.when}"), _wrapped(f"**What to do.** {advice.do}")]
    return "\n\n".join(parts)


def _again(cls: type[AnswerboxError]) -> str:
    if not cls.retryable:
        return "not retryable"
    return "retryable after `Retry-After`" if _tells_when(cls) else "retryable after a pause of your choice"


def _document(cls: type[AnswerboxError]) -> dict[str, Any]:
    return problems.problem(cls(""), "", "")


def _tells_when(cls: type[AnswerboxError]) -> bool:
    return "Retry-After" in problems.response(cls(""), "", "").headers


def _listed(words: list[Any]) -> str:
    *others, last = map(str, words)
    return f"{', '.join(others)} and {last}" if others else last


def _wrapped(text: str) -> str:
    """Lines of the usual width; code is not broken."""
    whole = CODE.sub(lambda found: found[0].replace(" ", NO_BREAK), text)
    return textwrap.fill(whole, WIDTH, break_long_words=False, break_on_hyphens=False).replace(NO_BREAK, " ")


if __name__ == "__main__":
    sys.stdout.write(page())

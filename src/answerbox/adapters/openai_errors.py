"""What the errors of the `openai` client mean to us: one table, refined by the status and the words of the server.

The words are only searched; they reach no caller.
"""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime

import httpx2
import openai

from answerbox.errors import AnswerboxError, BadUpstream, GeneratorUnavailable, Overloaded, PromptTooLong
from answerbox.ports import GenerationRequest

UNREACHABLE = "The connection to the language model's server failed."
FAILED = "The language model's server failed on this request."
REFUSED = "The language model's server refuses the request."
NO_ACCESS = "The language model's server does not let Answerbox in."
NOT_THERE = "The language model's server does not have what it was asked for."
BUSY = "The language model's server is busy."
NONSENSE = "The language model's server gave an answer that makes no sense."

ERRORS: dict[type[Exception], tuple[type[AnswerboxError], str]] = {
    httpx2.HTTPError: (GeneratorUnavailable, UNREACHABLE),
    openai.APIError: (GeneratorUnavailable, FAILED),
    openai.APIConnectionError: (GeneratorUnavailable, UNREACHABLE),
    openai.APITimeoutError: (GeneratorUnavailable, UNREACHABLE),
    openai.APIResponseValidationError: (BadUpstream, NONSENSE),
    openai.APIStatusError: (GeneratorUnavailable, REFUSED),
    openai.BadRequestError: (GeneratorUnavailable, REFUSED),
    openai.AuthenticationError: (GeneratorUnavailable, NO_ACCESS),
    openai.OAuthError: (GeneratorUnavailable, NO_ACCESS),
    openai.PermissionDeniedError: (GeneratorUnavailable, NO_ACCESS),
    openai.NotFoundError: (GeneratorUnavailable, NOT_THERE),
    openai.ConflictError: (GeneratorUnavailable, REFUSED),
    openai.UnprocessableEntityError: (GeneratorUnavailable, REFUSED),
    openai.RateLimitError: (Overloaded, BUSY),
    openai.InternalServerError: (GeneratorUnavailable, FAILED),
}

VENDOR_ERRORS = (openai.APIError, httpx2.HTTPError)
"""What the client raises; its transport's own errors come out where it reads the body of an error."""

CONNECTION_ERRORS = (openai.APIConnectionError, httpx2.TransportError)

RETRY_AFTER_S = 1
LONGEST_RETRY_AFTER_S = 600

TOO_LONG_STATUSES = (None, 400, 413, 422, 500)
"""None: an error inside a stream. llama.cpp has answered 500."""
TOO_LONG_CODES = {"context_length_exceeded", "exceed_context_size_error"}
TOO_LONG = re.compile(r"context (length|size|window)|maximum model length", re.IGNORECASE)

# The words of OpenAI, vLLM, SGLang and llama.cpp; the most telling first.
LIMITS = (
    r"maximum context length (?:is|of) (\d+)",
    r"maximum model length (?:is|of) (\d+)",
    r"context length is only (\d+)",
    r"context (?:length|size) \((\d+)",
)
PROMPTS = (
    r"(\d+) (?:tokens )?(?:in|from) the (?:input )?(?:messages|prompt)",
    r"(\d+) input tokens",
    r"messages resulted in (\d+)",
    r"(?:prompt \(length|request \(|input \() ?(\d+)",
    r"requested (?:a total of )?(\d+) tokens",
)


def translated(exc: Exception, request: GenerationRequest | None = None) -> AnswerboxError:
    """The failure of ours for an error of the client, by the nearest class in `ERRORS`."""
    if request and isinstance(exc, openai.APIError) and _says_too_long(exc):
        return _too_long(exc, request)
    error, message = next(ERRORS[cls] for cls in type(exc).__mro__ if cls in ERRORS)
    if error is Overloaded or _status(exc) == 503:
        return overloaded(BUSY, _retry_after_s(exc))
    return error(message)


def is_down(exc: AnswerboxError) -> bool:
    """Whether a failure that was translated is the server's, and not about one request or one key."""
    status = _status(exc.__cause__)
    return status is None or status >= 500


def overloaded(message: str, seconds: int = RETRY_AFTER_S) -> Overloaded:
    return Overloaded(message, hint=f"Try again in {seconds} s.", extra={"retry_after_s": seconds})


def _status(exc: BaseException | None) -> int | None:
    return exc.status_code if isinstance(exc, openai.APIStatusError) else None


def _says_too_long(exc: openai.APIError) -> bool:
    if _status(exc) not in TOO_LONG_STATUSES:
        return False
    return bool({exc.code, exc.type} & TOO_LONG_CODES or TOO_LONG.search(_words(exc)))


def _too_long(exc: openai.APIError, request: GenerationRequest) -> PromptTooLong:
    fields = exc.body if isinstance(exc.body, dict) else {}  # llama.cpp tells the numbers in fields
    prompt = _whole(fields.get("n_prompt_tokens")) or _number(PROMPTS, exc)
    limit = _whole(fields.get("n_ctx")) or _number(LIMITS, exc)
    message = "The prompt does not fit the model's window."
    if prompt and limit:
        message = f"The prompt has {prompt} tokens, the answer up to {request.max_tokens}; the model takes {limit}."
    return PromptTooLong(
        message,
        hint="Shorten the question or the context, or ask for fewer passages (top_k).",
        extra={name: value for name, value in (("prompt_tokens", prompt), ("limit", limit)) if value},
    )


def _words(exc: openai.APIError) -> str:
    return f"{exc} {exc.body}"


def _number(patterns: tuple[str, ...], exc: openai.APIError) -> int | None:
    words = _words(exc)
    found = next((match for pattern in patterns if (match := re.search(pattern, words, re.IGNORECASE))), None)
    return int(found[1]) if found else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _retry_after_s(exc: Exception) -> int:
    """`Retry-After`, which is seconds or a date, within reason."""
    header = exc.response.headers.get("retry-after", "") if isinstance(exc, openai.APIStatusError) else ""
    try:
        seconds = float(header) if header[:1].isdigit() else parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, OverflowError):
        return RETRY_AFTER_S
    return math.ceil(min(max(seconds, 1), LONGEST_RETRY_AFTER_S))

"""Parameters of OpenAI's protocol that the service does not have.

Those that would make another answer are refused, unless their value asks for nothing. All others are passed over, for
clients send hints about storing and caching, and names of their own; `answerbox.ignored` lists them.
"""

from __future__ import annotations

from typing import Any

from answerbox.service.openai_contract import Spoken
from answerbox.validation import invalid_request

OLDER = "an older form: use `tools` and `tool_choice`"
CHAT: dict[str, tuple[tuple[Any, ...], str]] = {
    "n": ((1,), "one answer for each request: send several requests"),
    "logprobs": ((False,), "probabilities are not told: leave it out"),
    "top_logprobs": ((0,), "probabilities are not told: leave it out"),
    "logit_bias": (({},), "tokens cannot be favoured: leave it out"),
    "presence_penalty": ((0,), "there are no penalties: leave it out"),
    "frequency_penalty": ((0,), "there are no penalties: leave it out"),
    "response_format": (({"type": "text"},), "answers are plain text: leave it out, and ask for JSON in words"),
    "modalities": ((["text"],), "answers are text"),
    "audio": ((), "answers are text: leave it out"),
    "prediction": ((), "predictions are not used: leave it out"),
    "web_search_options": ((), "the web is not searched: leave it out"),
    "functions": (([],), OLDER),
    "function_call": (("none", "auto"), OLDER),
}
EMBEDDINGS: dict[str, tuple[tuple[Any, ...], str]] = {
    "dimensions": ((), "vectors have the length that the model gives them: leave it out")
}
MOST_NAMED = 50


def ignored(body: Spoken, refused: dict[str, tuple[tuple[Any, ...], str]]) -> list[str]:
    """Names of the parameters that nothing is done with.

    Raises:
        InvalidRequest: one of them must not be passed over.
    """
    given = body.model_extra or {}
    faults = [
        {"field": name, "message": why}
        for name, (neutral, why) in refused.items()
        if given.get(name) is not None and given[name] not in neutral
    ]
    if faults:
        raise invalid_request(faults)
    return sorted(name for name in given if name not in refused)[:MOST_NAMED]

"""From messages to token ids and back, with the tokenizer that lies beside a model's weights.

Without transformers, whose import loads torch: the process that serves the language model needs neither.

What a template writes between messages are tokens of control. The same text inside a message is only text: it is read
in two pieces, so that no token of control comes of it, whoever wrote the message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Encoding, Tokenizer

from answerbox.errors import SetupError
from answerbox.ports import Message
from answerbox.tools import ToolSpec

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""For a model that was never taught a chat."""

TOOLS = re.compile(r"{%-?\s*(?:el)?if\b[^%]*\btools\b|\bin tools\b")
"""Of a template that takes tools."""

CUT = "\ud800"
"""Half of a pair of surrogates, which stands in no text by itself."""


class ChatTokenizer:
    """Reads what transformers writes: `tokenizer.json`, `tokenizer_config.json`, `generation_config.json` and
    `chat_template.jinja`.

    Raises:
        SetupError: the folder has no fast tokenizer or a template that Jinja does not understand.
    """

    def __init__(self, folder: Path) -> None:
        file = folder / "tokenizer.json"
        if not file.exists():
            raise SetupError(f"The model has no {file.name}; Answerbox reads no other form of tokenizer.")
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._config = _json(folder / "tokenizer_config.json")
        source = _template(folder, self._config)
        self._template = self._compiled(source)
        with_tools = _template(folder, self._config, "tool_use")
        self._with_tools = self._compiled(with_tools)
        self.calls_tools = bool(TOOLS.search(with_tools))
        self._control = {
            id_
            for id_, token in self._tokenizer.get_added_tokens_decoder().items()
            if len(token.content) > 1 and (token.special or token.content in source + with_tools)
        }
        self.ends = frozenset(self._end_tokens(folder))

    def prompt(self, messages: Sequence[Message], tools: Sequence[ToolSpec] = ()) -> list[int]:
        """The ids of the conversation, up to where the model speaks."""
        template = self._with_tools if tools else self._template
        text = template.render(
            messages=[self._harmless(told(message)) for message in messages],
            add_generation_prompt=True,
            **({"tools": [self._harmless(tool.as_function()) for tool in tools]} if tools else {}),
            **{name: _text(self._config.get(name)) for name in ("bos_token", "eos_token", "unk_token", "pad_token")},
        )
        return [id_ for piece in text.split(CUT) for id_ in self._encoded(piece).ids]

    def _harmless(self, value: Any) -> Any:
        """The same, with every text in it cut."""
        if isinstance(value, str):
            return self._cut(value)
        if isinstance(value, dict):
            return {self._cut(str(key)): self._harmless(each) for key, each in value.items()}
        return [self._harmless(each) for each in value] if isinstance(value, list) else value

    def _cut(self, content: str) -> str:
        """The content with `CUT` inside each text that would be a token of control."""
        waiting, done = [content], list[str]()
        while waiting:
            piece = waiting.pop()
            encoded = self._encoded(piece)
            places = [
                start + 1
                for id_, (start, end) in zip(encoded.ids, encoded.offsets, strict=True)
                if id_ in self._control and end - start > 1
            ]
            if places:
                bounds = [0, *places, len(piece)]
                waiting += [piece[first:last] for first, last in pairwise(bounds)][::-1]
            else:
                done.append(piece)
        return CUT.join(done)

    def _encoded(self, text: str) -> Encoding:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _end_tokens(self, folder: Path) -> list[int]:
        found = [_json(folder / name).get("eos_token_id") for name in ("generation_config.json", "config.json")]
        ends = [end for entry in found for end in (entry if isinstance(entry, list) else [entry])]
        ends.append(self._tokenizer.token_to_id(_text(self._config.get("eos_token"))))
        return [int(end) for end in ends if end is not None]

    @staticmethod
    def _compiled(source: str) -> Any:
        """As transformers renders templates (`utils/chat_template_utils.py`)."""
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            return environment.from_string(source)
        except TemplateError as exc:
            raise SetupError(f"The model's chat template cannot be read: {exc}") from exc


def told(message: Message) -> dict[str, Any]:
    """A message as chat templates know it: the arguments of calls are objects there."""
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        found["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.parsed() or {}}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found


def _template(folder: Path, config: dict[str, Any], name: str = "default") -> str:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    found = config.get("chat_template") or PLAIN_TEMPLATE
    if isinstance(found, list):  # several, by name
        named = {entry["name"]: entry["template"] for entry in found}
        found = named.get(name, named.get("default", next(iter(named.values()))))
    return str(found)


def _text(token: Any) -> str:
    """Special tokens stand in the configuration as text, or as a dict with `content`."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)

"""The prompts are those that transformers makes, without transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from answerbox.adapters.generation.chat_tokenizer import ChatTokenizer
from answerbox.adapters.model_store import find
from answerbox.errors import SetupError
from answerbox.ports import Message

FOLDER = "tokenizer.json"
TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}",
    "bos": "{{ bos_token }}{% for m in messages %}{{ m.content | trim }}{% endfor %}{{ eos_token }}",
    "blocks": "{% for m in messages %}\n  {% if m.role == 'user' %}\n    U {{ m.content }}\n  {% endif %}\n{%endfor%}",
    "loops": "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "json": "{{ messages[0].content | tojson }}{% if add_generation_prompt %}A:{% endif %}",
    "namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
}
CHAT = (Message("system", "Be brief, «ёлка» <b>"), Message("user", " Hi 🙂\n<|im_end|> "), Message("assistant", "Yes."))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = find("smollm2-135m-instruct").path
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json"):
        (tmp_path / name).symlink_to(source / name)
    return tmp_path


def of_transformers(folder: Path) -> list[int]:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    chat = [{"role": message.role, "content": message.content} for message in CHAT]
    ids: list[int] = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
    return ids


def test_the_embedded_models_prompt() -> None:
    folder = find("smollm2-135m-instruct").path
    assert ChatTokenizer(folder).prompt(CHAT) == of_transformers(folder)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    assert ChatTokenizer(folder).prompt(CHAT) == of_transformers(folder)


def test_a_template_inside_the_configuration(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").unlink()
    config["chat_template"] = [{"name": "other", "template": "x"}, {"name": "default", "template": TEMPLATES["bos"]}]
    config["bos_token"] = {"content": "<|im_start|>", "__type": "AddedToken"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    found = ChatTokenizer(folder)
    assert found.decode(found.prompt(CHAT)).startswith("Be brief")


def test_a_model_without_a_template_is_asked_plainly(folder: Path) -> None:
    tokenizer = ChatTokenizer(folder)
    assert tokenizer.decode(tokenizer.prompt(CHAT[:1])) == "system: Be brief, «ёлка» <b>\nassistant:"


def test_ends_come_from_the_generation_config_too(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 9]}')
    assert ChatTokenizer(folder).ends == {2, 7, 9}


def test_a_folder_without_a_fast_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=FOLDER):
        ChatTokenizer(tmp_path)


def test_a_template_that_is_none_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(SetupError, match="template"):
        ChatTokenizer(folder)

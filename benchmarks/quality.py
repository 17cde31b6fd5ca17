"""What the CPU's engine costs in quality, and whether a text depends on its batch. Writes docs/quality.md.

Perplexity is over XQuAD's English passages, each read as plain text; answers are to its questions with the passage in
the prompt, greedy, and their F1 is that of SQuAD (Rajpurkar et al., EMNLP 2016). The reference is transformers with
float32 weights, which hold the same values: both are made from one Q4_1 file.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from answerbox.adapters import model_store
from answerbox.adapters.generation.local_generator import LocalGenerator
from answerbox.app import local_generator
from answerbox.pipelines.prompts import sentence_messages
from answerbox.ports import GenerationRequest, Message, Piece
from answerbox.settings import Settings
from benchmarks.machine import description
from benchmarks.xquad import PAGE, load, normalised

PASSAGES = 80
QUESTIONS = 200
IN_BATCH = 64
MAX_TOKENS = 32


def passages() -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(_model().path / "tokenizer.json"))
    chosen = load("documents.en.jsonl")[:PASSAGES]
    return [list(tokenizer.encode(row["text"], add_special_tokens=False).ids) for row in chosen]


def perplexity(losses: Sequence[float]) -> float:
    return math.exp(-sum(losses) / len(losses))


def transformers_logs(rows: list[list[int]]) -> list[float]:
    """Natural logarithms of the shares that the model gave to the tokens that came."""
    import torch

    from answerbox.adapters.generation.transformers_engine import load as load_model

    model = load_model(_model().path, "cpu")
    found: list[float] = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([row])
            shares = torch.log_softmax(model(ids).logits[0, :-1], -1)
            found += shares.gather(1, ids[0, 1:, None])[:, 0].tolist()
    return found


def openvino_logs(rows: list[list[int]]) -> list[float]:
    from answerbox.adapters.generation.openvino_engine import PROPERTIES
    from answerbox.adapters.silent_openvino import genai, openvino

    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 1
    pipeline = genai.ContinuousBatchingPipeline(str(_model().gguf), scheduler, "CPU", PROPERTIES)
    found: list[float] = []
    for number, row in enumerate(rows):
        config = genai.GenerationConfig()
        config.max_new_tokens, config.echo, config.logprobs = 1, True, 1
        handle = pipeline.add_request(number, openvino.Tensor(np.array([row], dtype=np.int64)), config)
        while pipeline.has_non_finished_requests():
            pipeline.step()
        found += handle.read_all()[0].generated_log_probs[1 : len(row)]
    return found


async def texts(generator: LocalGenerator, requests: Sequence[GenerationRequest], at_once: bool) -> list[str]:
    async def one(request: GenerationRequest) -> str:
        async with aclosing(generator.generate(request)) as items:
            return "".join([item.text async for item in items if isinstance(item, Piece)])

    if at_once:
        return list(await asyncio.gather(*(one(request) for request in requests)))
    return [await one(request) for request in requests]


def requests(messages: Sequence[tuple[Message, ...]], **options: Any) -> list[GenerationRequest]:
    return [
        GenerationRequest(str(number), chat, MAX_TOKENS, seed=number if options else None, **options)
        for number, chat in enumerate(messages)
    ]


def f1(answer: str, accepted: list[str]) -> float:
    return max(_f1(normalised(answer).split(), normalised(text).split()) for text in accepted)


def _f1(said: list[str], wanted: list[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def asked() -> tuple[list[dict[str, Any]], list[tuple[Message, ...]]]:
    documents = {row["id"]: row["text"] for row in load("documents.en.jsonl")}
    rows = load("questions.en.jsonl")
    rows = rows[:: max(1, len(rows) // QUESTIONS)][:QUESTIONS]
    return rows, [sentence_messages(row["question"], None, documents[row["document_id"]], "en") for row in rows]


def _model() -> model_store.StoredModel:
    return model_store.find(Settings().generator_model)


def _limits(engine: str) -> Settings:
    return Settings.model_validate(
        {"engine": engine, "generator_queue_tokens": 1_000_000, "generator_queue_wait_s": 500}
    )


def engine_figures(engine: str) -> dict[str, Any]:
    """Answers in a batch, alone and drawn with seeds, of one engine."""
    rows, chats = asked()
    generator = local_generator(_limits(engine))
    try:
        together = asyncio.run(texts(generator, requests(chats), at_once=True))
        alone = asyncio.run(texts(generator, requests(chats[:IN_BATCH]), at_once=False))
        drawn = requests(chats[:IN_BATCH], temperature=0.8, top_p=0.9)
        drawn_together = asyncio.run(texts(generator, drawn, at_once=True))
        drawn_alone = asyncio.run(texts(generator, drawn, at_once=False))
    finally:
        generator.close()
    return {
        "texts": together,
        "f1": sum(f1(text, row["answers"]) for text, row in zip(together, rows, strict=True)) / len(rows),
        "greedy": sum(map(str.__eq__, together, alone)),
        "drawn": sum(map(str.__eq__, drawn_together, drawn_alone)),
    }


def main() -> None:
    rows = passages()
    reference, measured = perplexity(transformers_logs(rows)), perplexity(openvino_logs(rows))
    figures = {engine: engine_figures(engine) for engine in ("transformers", "openvino")}
    first, second = figures["transformers"], figures["openvino"]
    same = sum(map(str.__eq__, first["texts"], second["texts"])) / len(first["texts"])
    page = f"""# Quality of the engines

Made by `make quality` on {datetime.now(UTC):%Y-%m-%d}: {description()}. Model: {_model().tag}.
How it is counted: `benchmarks/quality.py`.

| | transformers, float32 | openvino, int8 | change |
|---|---|---|---|
| perplexity, {PASSAGES} XQuAD passages | {reference:.3f} | {measured:.3f} | {measured / reference - 1:+.2%} |
| F1 of {QUESTIONS} answers, the passage in the prompt | {first["f1"]:.4f} | {second["f1"]:.4f} | \
{second["f1"] - first["f1"]:+.4f} |
| greedy answers that are the same alone and in a batch, of {IN_BATCH} | {first["greedy"]} | {second["greedy"]} | |
| drawn answers with one seed that are, of {IN_BATCH} | {first["drawn"]} | {second["drawn"]} | |

{same:.0%} of the greedy answers are the same in both engines, word for word. The model is small: with the whole passage
in its prompt it rarely answers in the accepted words, so F1 is low with either engine and moves by chance; perplexity
is the figure to go by.
"""
    (PAGE.parent / "quality.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

"""What an engineer would write first: FastAPI, `model.generate` under a lock, streamed as JSON lines.

Run as `python -m benchmarks.speed.peers.fastapi_server MODEL_FOLDER PORT`.
"""
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import iterate_in_threadpool
from transformers import AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer

app = FastAPI()
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
lock = asyncio.Lock()


class Question(BaseModel):
    messages: list[dict[str, str]]
    max_tokens: int = 64


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/generate")
async def generate(question: Question) -> StreamingResponse:
    return StreamingResponse(lines(question), media_type="application/x-ndjson")


async def lines(question: Question) -> AsyncIterator[str]:
    inputs = tokenizer.apply_chat_template(
        question.messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    read = inputs["input_ids"].shape[1]
    made: list[Any] = []
    async with lock:  # in the event loop: forty requests that wait in threads leave none for the one that runs
        streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)

        def work() -> None:
            try:
                options = {"max_new_tokens": question.max_tokens, "do_sample": False, "streamer": streamer}
                made.append(model.generate(**inputs, **options))
            finally:
                streamer.end()

        thread = threading.Thread(target=work)
        thread.start()
        async for text in iterate_in_threadpool(streamer):
            if text:
                yield json.dumps({"text": text}) + "\n"
        thread.join()
    yield json.dumps({"prompt_tokens": read, "completion_tokens": made[0].shape[1] - read}) + "\n"


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")

"""A bare FastAPI route with Answerbox's contract that answers with the question: what any gateway costs at least.

Run as `python -m benchmarks.speed.peers.echo_server PORT`.
"""
# mypy: disable-error-code="import-not-found, untyped-decorator"

from __future__ import annotations

import sys
import time
import uuid

import uvicorn
from fastapi import FastAPI

from answerbox.contracts import LlmMeta, LlmRequest, LlmResponse, Usage

app = FastAPI()


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/llm_query")
async def llm_query(request: LlmRequest) -> LlmResponse:
    began = time.perf_counter()
    words = request.question.split()
    meta = LlmMeta(
        request_id=str(uuid.uuid4()),
        pipeline="llm",
        model="echo",
        finish_reason="stop",
        latency_ms=round((time.perf_counter() - began) * 1000, 1),
        usage=Usage(prompt_tokens=len(words), completion_tokens=len(words), total_tokens=2 * len(words)),
    )
    return LlmResponse(answer=" ".join(words), meta=meta)


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")

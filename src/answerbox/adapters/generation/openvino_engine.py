"""OpenVINO GenAI's continuous batching on a CPU: paged cache, prompts split over steps, int8 kernels, no compiler.

Weights are a GGUF file of Q8_0 blocks. OpenVINO 2026.4 reads Q4_1 with rounded zero points, which takes perplexity
on XQuAD from 29.5 to 38.1; with Q8_0 it is 29.7 (`docs/benchmarks.md`).
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from answerbox.adapters.generation.engine import Ended, EngineInfo, Made, OutOfMemory, Row
from answerbox.adapters.generation.writable import writable
from answerbox.adapters.silent_openvino import genai, openvino
from answerbox.errors import SetupError

STEP_TOKENS = 256
"""Tokens, read and made, in one step; longer prompts are read in several, so that nobody waits for them."""

PROPERTIES = {
    # Activations stay in float32 between the kernels and so does the cache: then a row's tokens do not depend on
    # what else is in the batch. Inside, matrices are multiplied in int8, quantized row by row.
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "16",
}

COMPANION = -1
COMPANION_TOKENS = 512
"""For a single row OpenVINO has another kernel, which rounds in another way. So a row is never alone."""

WARM_UP_ROWS = (1, 2, 4, 8, 16)
SEEDS = 2**63


class OpenVinoEngine:
    def __init__(self, weights: Path, ends: frozenset[int], rows: int, tokens: int) -> None:
        """Loads the model and warms it up.

        Raises:
            SetupError: OpenVINO cannot read the weights.
        """
        self.info = EngineInfo("openvino", rows, tokens)
        self._ends = ends
        scheduler = genai.SchedulerConfig()
        # The cache grows with what runs at a time, which the caller bounds. One of a fixed size is used round and
        # round, so that all of it is resident after as many tokens, however little runs.
        scheduler.num_kv_blocks = scheduler.cache_size = 0
        scheduler.max_num_seqs = rows + 1
        scheduler.max_num_batched_tokens = STEP_TOKENS
        scheduler.dynamic_split_fuse = True
        scheduler.enable_prefix_caching = False
        try:
            with writable(weights) as file:
                self._pipeline = genai.ContinuousBatchingPipeline(str(file), scheduler, "CPU", PROPERTIES)
        except RuntimeError as exc:
            raise SetupError(f"OpenVINO cannot read {weights.name}: {exc}") from exc
        self._handles: dict[int, Any] = {}
        self._calls = 0
        self._warm_up(rows)

    @property
    def busy(self) -> bool:
        return any(row_id != COMPANION for row_id in self._handles)

    def add(self, row: Row) -> None:
        config = genai.GenerationConfig()
        config.max_new_tokens = row.max_tokens
        config.stop_token_ids = set(self._ends)
        if row.temperature > 0:
            config.do_sample = True
            config.temperature = row.temperature
            config.top_p = row.top_p
            config.rng_seed = random.randrange(SEEDS) if row.seed is None else row.seed
        self._handles[row.id] = self._submit(row.prompt, config)

    def cancel(self, row_id: int) -> None:
        if handle := self._handles.pop(row_id, None):
            handle.cancel()

    def step(self) -> list[Made]:
        self._keep_company()
        self._pipeline.step()
        made = [self._read(row_id, handle) for row_id, handle in self._handles.items() if handle.can_read()]
        for row in made:
            if row.ended:
                del self._handles[row.id]
        lost = [row_id for row_id, handle in self._handles.items() if handle.get_status() == _IGNORED]
        if lost:
            raise OutOfMemory(f"no room in the cache for {len(lost)} rows")
        return [row for row in made if row.id != COMPANION]

    def clear(self) -> None:
        for row_id in list(self._handles):
            self.cancel(row_id)
        self._pipeline.step()  # this is where it lets go of cancelled rows

    def _submit(self, prompt: list[int], config: Any) -> Any:
        self._calls += 1
        ids = openvino.Tensor(np.array([prompt], dtype=np.int64))
        return self._pipeline.add_request(self._calls, ids, config)

    def _keep_company(self) -> None:
        real = len(self._handles) - (COMPANION in self._handles)
        if real > 1:
            self.cancel(COMPANION)
        elif real and COMPANION not in self._handles:
            config = genai.GenerationConfig()
            config.max_new_tokens = COMPANION_TOKENS
            config.ignore_eos = True
            self._handles[COMPANION] = self._submit([min(self._ends, default=0)], config)

    def _read(self, row_id: int, handle: Any) -> Made:
        (output,) = handle.read().values()
        return Made(row_id, list(output.generated_ids), _ENDED.get(output.finish_reason))

    def _warm_up(self, rows: int) -> None:
        """Kernels are made for a size when it is first met."""
        for count in (count for count in WARM_UP_ROWS if count <= rows):
            for number in range(count):
                self.add(Row(number, [1] * (STEP_TOKENS // count), 3))
            while self.busy:
                self.step()


_IGNORED = genai.GenerationStatus.IGNORED
_ENDED: dict[Any, Ended] = {
    genai.GenerationFinishReason.STOP: "stop",
    genai.GenerationFinishReason.LENGTH: "length",
}

"""transformers' continuous batching: a paged cache sized from free memory, prompts split over steps, CUDA graphs.

For GPUs. On a CPU it works and is slow: half of a step is spent outside the matrix kernels (`docs/benchmarks.md`).
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig

from answerbox.adapters.generation.engine import EngineInfo, Made, Row
from answerbox.adapters.generation.seeded_sampling import install_seeded_sampling
from answerbox.adapters.generation.transformers_engine import load

STEP_LIMIT_S = 0.25
"""How long `step` waits for a token before it lets commands in."""

WARM_UP_LIMIT_S = 300.0
PAGE_TOKENS = 256
SEEDS = 2**63


class ContinuousEngine:
    """The manager of transformers has a thread of its own; `step` collects what it has made."""

    def __init__(self, folder: Path, device: str, ends: frozenset[int], rows: int, tokens: int) -> None:
        self._ends = ends
        self._made: dict[int, int] = {}
        model = load(folder, device)
        on_gpu = model.device.type == "cuda"
        self._manager = model.init_continuous_batching(
            generation_config=GenerationConfig(
                do_sample=False,  # the processors below draw; what is left to do is to take the best
                eos_token_id=sorted(ends) or None,
                pad_token_id=min(ends, default=0),
                max_new_tokens=1,
            ),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=PAGE_TOKENS,
                num_blocks=None if on_gpu else -(-tokens // PAGE_TOKENS) + rows,
                max_batch_tokens=None if on_gpu else 512,
                max_requests_per_batch=rows,
                allow_block_sharing=on_gpu,
            ),
        )
        install_seeded_sampling(self._manager)
        self._manager.start()
        self._warm_up()
        cache = self._manager.batch_processor.cache
        self.info = EngineInfo("continuous", rows, int(cache.num_blocks) * int(cache.page_size) if on_gpu else tokens)

    @property
    def busy(self) -> bool:
        return bool(self._made)

    def add(self, row: Row) -> None:
        self._made[row.id] = 0
        sampled = row.temperature > 0
        seed = row.seed if row.seed is not None else random.randrange(SEEDS)
        accepted = self._manager.add_request(
            row.prompt,
            request_id=str(row.id),
            max_new_tokens=row.max_tokens,
            streaming=True,
            temperature=row.temperature if sampled else 1.0,
            top_p=row.top_p if sampled else 1.0,
            draw=seed if sampled else 0,
        )
        if accepted is None:
            raise RuntimeError("continuous batching takes no more requests")

    def cancel(self, row_id: int) -> None:
        if self._made.pop(row_id, None) is not None:
            self._manager.cancel_request(str(row_id))

    def step(self) -> list[Made]:
        outputs = [self._manager.get_result(timeout=STEP_LIMIT_S)]
        while not self._manager.output_router.output_queue.empty():
            outputs.append(self._manager.get_result(timeout=0))
        if not self._manager.is_running():
            raise RuntimeError("the thread of continuous batching has ended")
        found = [self._read(output) for output in outputs if output and int(output.request_id) in self._made]
        for made in found:
            if made.ended:
                self._made.pop(made.id, None)
        return found

    def clear(self) -> None:
        for row_id in list(self._made):
            self.cancel(row_id)
        if not self._manager.is_running():
            self._manager.start()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _read(self, output: Any) -> Made:
        row_id = int(output.request_id)
        tokens = output.generated_tokens[self._made[row_id] :]
        self._made[row_id] += len(tokens)
        if output.error:
            return Made(row_id, tokens, "failed")
        if not output.is_finished():
            return Made(row_id, tokens)
        return Made(row_id, tokens, "stop" if tokens and tokens[-1] in self._ends else "length")

    def _warm_up(self) -> None:
        if self._manager.model.device.type == "cuda":
            self._manager.warmup()
        self.add(Row(0, [1] * 64, 2))
        end = time.monotonic() + WARM_UP_LIMIT_S
        while self.busy and time.monotonic() < end:
            self.step()

"""transformers' continuous batching on a GPU without a server: `generate_batch`, what `--gpu` compares with."""

from __future__ import annotations

from typing import Any

from benchmarks.speed.raw import Timing, model_folder


def cuda() -> str | None:
    """The name of the GPU; None where there is none."""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


class GenerateBatch:
    """Loads the model in the type in which it is stored, as `transformers serve` does."""

    def __init__(self) -> None:
        from transformers import AutoModelForCausalLM

        self._model: Any = AutoModelForCausalLM.from_pretrained(
            model_folder(), dtype="auto", device_map="cuda" if cuda() else "cpu"
        )

    def run(self, prompts: list[list[int]], max_tokens: int, concurrency: int) -> list[Timing]:
        """The clock runs from when the manager of the batch is ready; it is made anew for each run."""
        from transformers import GenerationConfig
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        ends = self._model.generation_config.eos_token_id
        outputs = self._model.generate_batch(
            inputs=prompts,
            generation_config=GenerationConfig(
                max_new_tokens=max_tokens, do_sample=False, eos_token_id=ends, pad_token_id=ends
            ),
            continuous_batching_config=ContinuousBatchingConfig(max_requests_per_batch=concurrency),
            record_timestamps=True,
        ).values()
        began = min(output.lifespan[0] for output in outputs)
        return [_timing(output, began) for output in outputs]


def _timing(output: Any, began: float) -> Timing:
    times = [time - began for time in output.timestamps]
    return Timing(output.lifespan[0] - began, times[-1], times, list(output.generated_tokens))

"""The parts that `answerbox serve` can run alone, and what each of them needs of the machine."""

from __future__ import annotations

from enum import Enum

from answerbox.errors import SetupError
from answerbox.settings import FAKE, Settings


class Part(Enum):
    """The gateway starts beside itself every part that has no address of its own."""

    gateway = "gateway"
    index = "index"
    embedder = "embedder"
    generator = "generator"
    reranker = "reranker"

    @property
    def service(self) -> str:
        """The name of its class in `answerbox.service`."""
        return "Answerbox" if self is Part.gateway else self.name.capitalize()

    @property
    def target(self) -> str:
        """What `bentoml serve` runs."""
        return f"answerbox.service:{self.service}"

    def models(self, settings: Settings) -> list[str]:
        """Tags of the models that it loads, or that parts load which it starts.

        All parts have the same settings, so the address of a part does not mean that it is not this one.

        Raises: SetupError: it has no model to load.
        """
        if self is Part.gateway:
            return list(settings.models_here.values())
        tag = self._model(settings)
        return [tag] if tag and tag != FAKE else []

    def owns_data(self, settings: Settings) -> bool:
        """Whether it, or a part that it starts, opens the data folder."""
        return self is Part.index or (self is Part.gateway and not settings.index_url)

    def _model(self, settings: Settings) -> str | None:
        match self:
            case Part.generator if settings.llm_base_url:
                raise SetupError(
                    "The generator has nothing to do: another server has the language model.",
                    hint="Leave this part out, or ANSWERBOX_LLM_BASE_URL.",
                )
            case Part.generator:
                return settings.generator_model
            case Part.reranker if not settings.reranker_model:
                raise SetupError(
                    "The reranker has no model.", hint="Name one with ANSWERBOX_RERANKER_MODEL, or leave this part out."
                )
            case Part.reranker:
                return settings.reranker_model
            case _:
                beside = self is Part.index and settings.embedder_url
                return None if beside else settings.embedder_model

"""Which version of a model a service loads: inside a Bento the one that it was built with."""

from __future__ import annotations

from typing import Any

from answerbox.settings import Settings


def pinned(settings: Settings, service: Any) -> Settings:
    """The settings with the model tags of the Bento that `service` runs from, if it runs from one.

    `bentoml build` writes the versions into the Bento, but BentoML 1.4.39 looks `latest` up again when it serves.
    """
    if service.bento is None:
        return settings
    tags = {str(model.tag).partition(":")[0]: str(model.tag) for model in service.bento.info.all_models}

    def version(tag: str) -> str:
        return tags.get(tag.partition(":")[0], tag)

    return settings.model_copy(
        update={
            "generator_model": version(settings.generator_model),
            "embedder_model": version(settings.embedder_model),
            "reranker_model": version(settings.reranker_model) if settings.reranker_model else None,
        }
    )

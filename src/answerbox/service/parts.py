"""The services that a service asks: one beside it, or one or more with addresses.

BentoML's dependencies are attributes of the class; several of a kind are `generator`, `generator_2` and so on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import bentoml

from answerbox.adapters.bento_generator import RemoteGenerator
from answerbox.adapters.bento_remote import RemoteEmbedder
from answerbox.adapters.twins import EmbedderTwin, GeneratorTwin, TwinEmbedders, TwinGenerators

ClassT = TypeVar("ClassT", bound=type)


def depends_on(name: str, service: Any, urls: str | None, unless: bool = False) -> Callable[[ClassT], ClassT]:
    """Gives a class the dependencies; `urls` has commas between them, None is the service beside it."""

    def given(cls: ClassT) -> ClassT:
        for number, url in enumerate([] if unless else urls.split(",") if urls else [None], 1):
            setattr(cls, _numbered(name, number), bentoml.depends(service, url=url))
        return cls

    return given


def generator_of(service: Any) -> GeneratorTwin:
    twins = [RemoteGenerator(found) for found in _dependencies(service, "generator")]
    return twins[0] if len(twins) == 1 else TwinGenerators(twins)


def embedder_of(service: Any) -> EmbedderTwin:
    twins = [RemoteEmbedder(found) for found in _dependencies(service, "embedder")]
    return twins[0] if len(twins) == 1 else TwinEmbedders(twins)


def _dependencies(service: Any, name: str) -> list[Any]:
    found, number = list[Any](), 1
    while dependency := getattr(service, _numbered(name, number), None):
        found.append(dependency)
        number += 1
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}_{number}"

"""Vectors on a Chroma server. It may be slow, restarted or replaced by an empty one at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from answerbox.adapters.chroma_collection import ChromaCollection, collection_name, definition, tuned
from answerbox.adapters.chroma_errors import translating
from answerbox.adapters.chroma_http import hang_up, patiently, server_api

LONG_S = 60.0

log = logging.getLogger(__name__)
T = TypeVar("T")


class ChromaServer:
    def __init__(self, url: str, timeout_s: float, installation: str = "", long_timeout_s: float = LONG_S) -> None:
        """`timeout_s` bounds a query with its retries, `long_timeout_s` a write. No request is made yet.

        `installation` is part of the collections' names, so that several share a server.

        Raises:
            SetupError: the address cannot be used.
        """
        self._api = server_api(url)
        self._installation = installation
        self._timeout_s = timeout_s
        self._long_timeout_s = max(long_timeout_s, timeout_s)

    def open(self, fingerprint: str) -> ChromaCollection:
        access = _Remote(lambda: self._made(fingerprint), self._timeout_s, self._long_timeout_s)
        access.resolve()
        return ChromaCollection(access)

    def drop(self, fingerprint: str) -> None:
        with translating(), suppress(NotFoundError):
            name = collection_name(fingerprint, self._installation)
            patiently(lambda: self._api.delete_collection(name), self._timeout_s)

    def close(self) -> None:
        hang_up(self._api)

    def _made(self, fingerprint: str) -> Any:
        model = self._api.get_or_create_collection(**definition(fingerprint, installation=self._installation))
        return tuned(Collection(client=self._api, model=model, embedding_function=None))


class _Remote:
    """Access to a collection by its id, which is another one after somebody has made the collection anew."""

    def __init__(self, make: Callable[[], Any], timeout_s: float, long_timeout_s: float) -> None:
        self._make = make
        self._timeout_s = timeout_s
        self._long_timeout_s = long_timeout_s
        self._collection: Any = None

    def __call__(self, work: Callable[[Any], T], *, long: bool = False) -> T:
        with translating():
            return patiently(lambda: self._attempt(work), self._long_timeout_s if long else self._timeout_s)

    def resolve(self) -> None:
        with translating():
            patiently(self._remake, self._timeout_s)

    def _attempt(self, work: Callable[[Any], T]) -> T:
        try:
            return work(self._collection)
        except NotFoundError:
            log.warning("The collection of vectors is not on the Chroma server any more: an empty one takes its place.")
            return work(self._remake())

    def _remake(self) -> Any:
        self._collection = self._make()
        return self._collection

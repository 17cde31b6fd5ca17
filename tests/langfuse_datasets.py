"""Datasets as Langfuse's public API keeps them: https://api.reference.langfuse.com; a part of `tests.otlp_receiver`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

DATASETS, ITEMS = "/api/public/v2/datasets", "/api/public/dataset-items"
TIME = "2026-11-26T12:00:00.000Z"


@dataclass
class Datasets:
    """`sets` by name, `items` by id; `refused`: words of questions that the dataset's schema does not let in."""

    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def posted(self, path: str, body: Any) -> tuple[int, Any] | None:
        with self.lock:
            if path == DATASETS:
                return 200, self._made(body)
            return self._put(body) if path == ITEMS else None

    def got(self, path: str, query: dict[str, str]) -> tuple[int, Any] | None:
        if path.startswith(DATASETS + "/"):
            there = self.sets.get(unquote(path.removeprefix(DATASETS + "/")))
            return (200, there) if there else (404, {"message": "Dataset not found", "error": "LangfuseNotFoundError"})
        return self._page(query) if path == ITEMS else None

    def of(self, name: str) -> list[dict[str, Any]]:
        return [item for item in self.items.values() if item["datasetName"] == name]

    def _made(self, body: Any) -> dict[str, Any]:
        old = self.sets.get(body["name"], {"id": f"dataset-{len(self.sets) + 1}", "createdAt": TIME})
        more = {"projectId": "project-1", "metadata": body.get("metadata"), "updatedAt": TIME}
        self.sets[body["name"]] = {**old, **body, **more}
        return self.sets[body["name"]]

    def _put(self, body: Any) -> tuple[int, Any]:
        dataset = self.sets.get(body["datasetName"])
        if dataset is None:
            return 404, {"message": "Dataset not found"}
        old = self.items.get(body["id"], {"datasetId": dataset["id"]})
        if old["datasetId"] != dataset["id"]:
            return 404, {"message": f"The dataset item {body['id']} already exists in another dataset"}
        if any(word in str(body["input"]) for word in self.refused):
            return 400, {"message": "Item does not match the schema"}
        empty = {"status": "ACTIVE", "input": None, "expectedOutput": None, "metadata": None}
        more = {"createdAt": TIME, "updatedAt": TIME, "mediaReferences": []}
        self.items[body["id"]] = {**empty, **old, **body, **more}
        return 200, self.items[body["id"]]

    def _page(self, query: dict[str, str]) -> tuple[int, Any]:
        if query["datasetName"] not in self.sets:
            return 404, {"message": "Dataset not found"}
        page, limit = int(query["page"]), int(query["limit"])
        assert limit <= 100
        found = self.of(query["datasetName"])
        pages = -(-len(found) // limit)
        meta = {"page": page, "limit": limit, "totalItems": len(found), "totalPages": pages}
        return 200, {"data": found[(page - 1) * limit : page * limit], "meta": meta}

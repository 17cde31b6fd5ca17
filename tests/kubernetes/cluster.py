"""The manifests of `deploy/kubernetes` as `kubectl kustomize` renders them, and questions about them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
PLACE = "../deploy/kubernetes"
BASE, SPLIT = "base", "overlays/split"
RENDERINGS: Mapping[str, Sequence[str]] = {
    "base": [BASE],
    "split": [SPLIT],
    "gpu": ["overlays/gpu"],
    "remote-engine": ["overlays/remote-engine"],
    "chroma-server": ["overlays/chroma-server"],
    "base and all that fits": [BASE, "chroma", "vllm", "ingress", "monitoring", "langfuse", "shared-rates"],
    "split and all that fits": [SPLIT, "chroma", "ingress", "monitoring", "keda", "langfuse", "shared-rates"],
    "split with another engine": [SPLIT, "chroma", "vllm", "monitoring", "shared-rates"],
    "gpu by work that waits": ["overlays/gpu", "monitoring", "keda"],
}
"""What is rendered: a folder, and components that are put on it."""

APP, COMPONENT, OWNS = "app.kubernetes.io/name", "app.kubernetes.io/component", "answerbox/owns"


@cache
def _rendered(name: str) -> tuple[Document, ...]:
    target, *components = RENDERINGS[name]
    wanted = {
        "resources": [f"{PLACE}/{target}"],
        "components": [f"{PLACE}/components/{component}" for component in components],
    }
    return tuple(kustomize(yaml.safe_dump(wanted)))


def kustomize(wanted: str) -> list[Document]:
    """What a kustomization makes that stands in a folder beside `deploy`."""
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.relpath(FOLDER, Path(folder).resolve())
        (Path(folder) / "kustomization.yaml").write_text(wanted.replace(PLACE, place))
        done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def render(name: str) -> Cluster:
    """The documents of a rendering, which may be changed."""
    return Cluster([deepcopy(document) for document in _rendered(name)])


@dataclass(frozen=True)
class Workload:
    """A Deployment or a StatefulSet."""

    document: Document

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def spec(self) -> Document:
        found: Document = self.document["spec"]
        return found

    @property
    def labels(self) -> dict[str, str]:
        """Of its pods."""
        found: dict[str, str] = self.spec["template"]["metadata"]["labels"]
        return found

    @property
    def pod(self) -> Document:
        found: Document = self.spec["template"]["spec"]
        return found

    @property
    def container(self) -> Document:
        (found,) = self.pod["containers"]
        result: Document = found
        return result

    @property
    def ours(self) -> bool:
        """Whether Answerbox runs in it."""
        return self.labels.get(APP) == "answerbox"

    @property
    def part(self) -> str:
        return self.labels.get(COMPONENT, self.name)

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container.get("ports", [])}


@dataclass(frozen=True)
class Cluster:
    documents: list[Document]

    def of_kind(self, *kinds: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] in kinds]

    def one(self, kind: str, name: str) -> Document:
        (found,) = [document for document in self.of_kind(kind) if document["metadata"]["name"] == name]
        return found

    def names(self, *kinds: str) -> set[str]:
        return {document["metadata"]["name"] for document in self.of_kind(*kinds)}

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(document) for document in self.of_kind("Deployment", "StatefulSet")]

    def workload(self, name: str) -> Workload:
        (found,) = [workload for workload in self.workloads if workload.name == name]
        return found

    def selected(self, selector: Document) -> list[Workload]:
        return [workload for workload in self.workloads if matches(selector, workload.labels)]

    def env(self, workload: Workload, secrets: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Variables of its container; `secrets` are by name and key. Raises LookupError: a reference to nothing."""
        found: dict[str, str] = {}
        for source in workload.container.get("envFrom", []):
            found |= self._settings(source["configMapRef"]["name"])
        for variable in workload.container.get("env", []):
            found[variable["name"]] = variable.get("value") or self._referred(variable["valueFrom"], secrets)
        return found

    def _settings(self, name: str) -> dict[str, str]:
        for document in self.of_kind("ConfigMap"):
            if document["metadata"]["name"] == name:
                found: dict[str, str] = document["data"]
                return found
        raise LookupError(f"ConfigMap {name}")

    def _referred(self, source: Document, secrets: Mapping[str, Mapping[str, str]]) -> str:
        (kind, reference), *_ = source.items()
        if kind == "configMapKeyRef":
            return self._settings(reference["name"])[reference["key"]]
        return secrets[reference["name"]][reference["key"]]


def matches(selector: Document, labels: Mapping[str, str]) -> bool:
    """A LabelSelector of the API; an empty one selects everything."""
    equal = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in equal.items()):
        return False
    for condition in selector.get("matchExpressions", []):
        assert condition["operator"] == "In", condition
        if labels.get(condition["key"]) not in condition["values"]:
            return False
    return True


def strings(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value

"""What must be so between the documents: references, selectors, scaling, settings. A policy yields faults, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from answerbox.settings import PREFIX
from tests import environment
from tests.kubernetes.cluster import Cluster, Document, Workload, matches

PROVIDED: Mapping[str, Mapping[str, str]] = {
    "answerbox-keys": {"keys.json": "{}"},
    "answerbox-llm": {"api-key": "a-key"},
    "answerbox-metrics-key": {"key": "a-key"},
    "answerbox-langfuse": {
        "base-url": "https://langfuse.example.org",
        "public-key": "pk-lf-1",
        "secret-key": "sk-lf-1",
    },
    "answerbox-redis": {"url": "redis://redis.example.org:6379"},
    "answerbox-tls": {"tls.crt": "", "tls.key": ""},
}
"""Secrets that the operator makes, as deploy/kubernetes/README.md says, with values such as they may have."""

PROVIDED_CLAIMS = frozenset({"vllm-models"})
SECRET = re.compile(r"(KEY|SECRET|PASSWORD|HEADERS)$")


def names_are_used_once(cluster: Cluster) -> Iterator[str]:
    counted = Counter((document["kind"], document["metadata"]["name"]) for document in cluster.documents)
    yield from (f"{kind} {name}" for (kind, name), count in counted.items() if count > 1)


def no_secret_is_written_down(cluster: Cluster) -> Iterator[str]:
    yield from (f"Secret {name} is in the manifests" for name in cluster.names("Secret"))
    for document in cluster.of_kind("ConfigMap"):
        yield from (f"{key} is in a ConfigMap" for key in document["data"] if SECRET.search(key))
    for workload in cluster.workloads:
        for given in workload.container.get("env", []):
            if SECRET.search(given["name"]) and "secretKeyRef" not in given.get("valueFrom", {}):
                yield f"{workload.name}: {given['name']} is no reference to a Secret"


def references_lead_somewhere(cluster: Cluster) -> Iterator[str]:
    claims = cluster.names("PersistentVolumeClaim") | PROVIDED_CLAIMS
    for workload in cluster.workloads:
        try:
            cluster.env(workload, PROVIDED)
        except LookupError as exc:
            yield f"{workload.name}: {exc} is nowhere"
        if workload.pod.get("serviceAccountName") not in cluster.names("ServiceAccount"):
            yield f"{workload.name} has no account of its own"
        for volume in workload.pod.get("volumes", []):
            if "secret" in volume and volume["secret"]["secretName"] not in PROVIDED:
                yield f"{workload.name}: Secret {volume['secret']['secretName']}"
            if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
                yield f"{workload.name}: claim {volume['persistentVolumeClaim']['claimName']}"
    for ingress in cluster.of_kind("Ingress"):
        yield from _of_ingress(cluster, ingress)


def _of_ingress(cluster: Cluster, ingress: Document) -> Iterator[str]:
    yield from (f"Secret {tls['secretName']}" for tls in ingress["spec"]["tls"] if tls["secretName"] not in PROVIDED)
    for rule in ingress["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            ports = [
                port["name"]
                for service in cluster.of_kind("Service")
                if service["metadata"]["name"] == backend["name"]
                for port in service["spec"]["ports"]
            ]
            if backend["port"]["name"] not in ports:
                yield f"Service {backend['name']}, port {backend['port']['name']}"


def selectors_select(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        selected = [found.name for found in cluster.selected(workload.spec["selector"])]
        if selected != [workload.name]:
            yield f"{workload.name} selects the pods of {selected}"
        if workload.kind == "StatefulSet" and workload.spec["serviceName"] not in cluster.names("Service"):
            yield f"{workload.name}: Service {workload.spec['serviceName']} is nowhere"
    for budget in cluster.of_kind("PodDisruptionBudget"):
        if len(cluster.selected(budget["spec"]["selector"])) != 1:
            yield f"the budget {budget['metadata']['name']} is not that of one workload"


def services_have_pods(cluster: Cluster) -> Iterator[str]:
    for service in cluster.of_kind("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        pods = cluster.selected({"matchLabels": spec["selector"]})
        if len(pods) != 1:
            yield f"{name} has the pods of {[pod.name for pod in pods]}"
        for port in spec["ports"]:
            if any(pod.ports.get(port["targetPort"]) != port["port"] for pod in pods):
                yield f"{name}: {port['targetPort']} is no port {port['port']}"
        if spec.get("type") != "ClusterIP":
            yield f"{name} can be reached from outside"


def settings_are_taken(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        if workload.ours:
            given = cluster.env(workload, PROVIDED)
            yield from (f"{workload.name}: {fault}" for fault in environment.faults(given))
            if given.get("ANSWERBOX_DATA_DIR") != "/data":
                yield f"{workload.name} has its data elsewhere"


def budgets_let_nodes_go(cluster: Cluster) -> Iterator[str]:
    budgets = cluster.of_kind("PodDisruptionBudget")
    for workload in cluster.workloads:
        if workload.ours and not any(matches(budget["spec"]["selector"], workload.labels) for budget in budgets):
            yield f"{workload.name} has no budget"
    for budget in budgets:
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"{budget['metadata']['name']} does not let one pod go, and no more"


def scalers_have_targets(cluster: Cluster) -> Iterator[str]:
    targets = Counter[tuple[str, str]]()
    for scaler in cluster.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        spec = scaler["spec"]
        target = (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"])
        targets[target] += 1
        low, high = (spec.get(f"{name}Replica{suffix(scaler)}", 0) for name in ("min", "max"))
        found = [workload for workload in cluster.workloads if (workload.kind, workload.name) == target]
        if not 2 <= low < high:
            yield f"{target[1]}: from {low} to {high}"
        for workload in found:
            yield from _scaled(cluster, workload, high)
        if not found:
            yield f"{target[1]} is nowhere"
    yield from (f"{name} is scaled by two" for (_, name), count in targets.items() if count > 1)


def suffix(scaler: Document) -> str:
    return "Count" if scaler["kind"] == "ScaledObject" else "s"


def _scaled(cluster: Cluster, workload: Workload, most: int) -> Iterator[str]:
    if "replicas" in workload.spec:
        yield f"{workload.name}: each apply would undo the scaling"
    if "cpu" not in workload.container["resources"].get("requests", {}):
        yield f"{workload.name} has no request that its share of the CPU could be counted by"
    if workload.kind != "StatefulSet":
        return
    service = workload.spec["serviceName"]
    wanted = {f"http://{workload.name}-{number}.{service}:3000" for number in range(most)}
    for asker in cluster.workloads:
        if asker.ours and asker.part == "gateway":
            given = cluster.env(asker, PROVIDED).get(f"{PREFIX}{workload.part.upper()}_URL", "").split(",")
            if set(given) != wanted:
                yield f"{workload.name}: the gateways know {given}"
    if cluster.one("Service", service)["spec"].get("clusterIP") != "None":
        yield f"{workload.name} has no names for its pods"


POLICIES = (
    names_are_used_once,
    no_secret_is_written_down,
    references_lead_somewhere,
    selectors_select,
    services_have_pods,
    settings_are_taken,
    budgets_let_nodes_go,
    scalers_have_targets,
)

"""Who may talk to whom, by the NetworkPolicies. A policy of ours yields the faults that it finds, in words."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from tests.kubernetes.cluster import OWNS, Cluster, Document, Workload, matches
from tests.kubernetes.wiring import PROVIDED

STRANGER = {"app": "stranger"}
ASKS = {
    "gateway": ("ANSWERBOX_INDEX_URL", "ANSWERBOX_EMBEDDER_URL", "ANSWERBOX_GENERATOR_URL", "ANSWERBOX_LLM_BASE_URL"),
    "index": ("ANSWERBOX_EMBEDDER_URL",),
}
OWNER_ASKS = ("ANSWERBOX_CHROMA_URL",)


def every_pod_is_covered(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        policies = _of(cluster, workload)
        if not any(_denies_all(policy) for policy in policies):
            yield f"{workload.name} is open"
    for policy in cluster.of_kind("NetworkPolicy"):
        if not cluster.selected(policy["spec"]["podSelector"]):
            yield f"{policy['metadata']['name']} is that of nobody"


def _denies_all(policy: Document) -> bool:
    spec = policy["spec"]
    return set(spec["policyTypes"]) == {"Ingress", "Egress"} and not spec.get("ingress") and not spec.get("egress")


def only_gateways_are_for_everybody(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        for port in workload.ports.values():
            if _lets_in(cluster, workload, STRANGER, port) != (workload.ours and workload.part == "gateway"):
                yield f"{workload.name}, port {port}"


def nobody_may_ask_the_whole_world(cluster: Cluster) -> Iterator[str]:
    """What goes to any address has a port that it is for: 443 of Langfuse, 6379 of a Redis."""
    for policy in cluster.of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            ports = {port["port"] for port in rule.get("ports", [])}
            if not ports or (not rule.get("to") and not ports <= {443, 6379}):
                yield policy["metadata"]["name"]


def parts_reach_each_other(cluster: Cluster) -> Iterator[str]:
    """Each address of the settings, by whom asks it."""
    for workload in cluster.workloads:
        if not workload.ours:
            continue
        given = cluster.env(workload, PROVIDED)
        asked = ASKS.get(workload.part, ()) + (OWNER_ASKS if OWNS in workload.labels else ())
        if "ANSWERBOX_LLM_BASE_URL" in given:
            asked = tuple(name for name in asked if name != "ANSWERBOX_GENERATOR_URL")
        for name in asked:
            for url in filter(None, given.get(name, "").split(",")):
                yield from (f"{workload.name}: {fault}" for fault in _way(cluster, workload, url))


def _way(cluster: Cluster, asker: Workload, url: str) -> Iterator[str]:
    place = urlsplit(url)
    service = str(place.hostname).rpartition(".")[2]
    if service not in cluster.names("Service"):
        yield f"{url} is nowhere"
        return
    spec = cluster.one("Service", service)["spec"]
    if place.port not in {port["port"] for port in spec["ports"]}:
        yield f"{url} is no port of the service"
    for asked in cluster.selected({"matchLabels": spec["selector"]}):
        port = asked.ports["http"]
        if not _lets_in(cluster, asked, asker.labels, port):
            yield f"{url} does not let it in"
        if not _lets_out(cluster, asker, asked.labels, port):
            yield f"it may not go out to {url}"
        if not _lets_out(cluster, asker, {}, 53):
            yield "it may not ask for names"


def _of(cluster: Cluster, workload: Workload) -> list[Document]:
    return [
        policy for policy in cluster.of_kind("NetworkPolicy") if matches(policy["spec"]["podSelector"], workload.labels)
    ]


def _lets_in(cluster: Cluster, workload: Workload, other: dict[str, str], port: int) -> bool:
    return _allowed(cluster, workload, "ingress", "from", other, port)


def _lets_out(cluster: Cluster, workload: Workload, other: dict[str, str], port: int) -> bool:
    return _allowed(cluster, workload, "egress", "to", other, port)


def _allowed(cluster: Cluster, workload: Workload, way: str, side: str, other: dict[str, str], port: int) -> bool:
    rules = [rule for policy in _of(cluster, workload) for rule in policy["spec"].get(way, [])]
    return any(
        port in {allowed["port"] for allowed in rule["ports"]}
        and (port == 53 or side not in rule or any(_is(peer, other) for peer in rule[side]))
        for rule in rules
    )


def _is(peer: Document, labels: dict[str, str]) -> bool:
    return "namespaceSelector" not in peer and "podSelector" in peer and matches(peer["podSelector"], labels)


POLICIES = (
    every_pod_is_covered,
    only_gateways_are_for_everybody,
    nobody_may_ask_the_whole_world,
    parts_reach_each_other,
)

"""The manifests of `deploy/kubernetes`: each rendering keeps each policy, and each policy sees what breaks it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from answerbox import __version__
from tests.environment import KNOWN
from tests.kubernetes import network, pods, schemas, wiring
from tests.kubernetes.cluster import FOLDER, RENDERINGS, Cluster, Document, kustomize, render

pytestmark = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl, which renders the manifests, is missing")

Policy = Callable[[Cluster], Iterator[str]]
Spoil = Callable[[Cluster], Any]

POLICIES: dict[str, Policy] = {
    policy.__name__: policy for module in (pods, wiring, network, schemas) for policy in module.POLICIES
}
FULL = "split and all that fits"
GATEWAY, INDEX, GENERATOR = "answerbox-gateway", "answerbox-index", "answerbox-generator"


@pytest.mark.parametrize("name", RENDERINGS)
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_rendering_keeps_the_policy(name: str, policy: Policy) -> None:
    assert list(policy(render(name))) == []


def _container(name: str, **changes: Any) -> Spoil:
    return lambda cluster: cluster.workload(name).container.update(changes)


def _pod(name: str, **changes: Any) -> Spoil:
    return lambda cluster: cluster.workload(name).pod.update(changes)


def _secured(name: str, **changes: Any) -> Spoil:
    return lambda cluster: cluster.workload(name).container["securityContext"].update(changes)


def _spec(kind: str, name: str, **changes: Any) -> Spoil:
    return lambda cluster: cluster.one(kind, name)["spec"].update(changes)


def _gone(kind: str, name: str) -> Spoil:
    return lambda cluster: cluster.documents.remove(cluster.one(kind, name))


def _setting(name: str, value: str) -> Spoil:
    """In each ConfigMap."""

    def spoil(cluster: Cluster) -> None:
        for document in cluster.of_kind("ConfigMap"):
            document["data"][name] = value

    return spoil


def _added(document: Document) -> Spoil:
    return lambda cluster: cluster.documents.append(document)


def _given(workload: str, **given: Any) -> Spoil:
    return lambda cluster: cluster.workload(workload).container.setdefault("env", []).append(given)


def _twice(cluster: Cluster) -> None:
    cluster.documents.append(cluster.one("Service", "answerbox"))


def _other_query(cluster: Cluster) -> None:
    (trigger,) = cluster.one("ScaledObject", GENERATOR)["spec"]["triggers"]
    trigger["metadata"]["query"] = "sum(answerbox_waiting)"


def _other_key(cluster: Cluster) -> None:
    (endpoint,) = cluster.one("ServiceMonitor", "answerbox")["spec"]["endpoints"]
    endpoint["authorization"]["credentials"]["name"] = "another"


def _other_backend(cluster: Cluster) -> None:
    (rule,) = cluster.one("Ingress", "answerbox")["spec"]["rules"]
    rule["http"]["paths"][0]["backend"]["service"]["name"] = "another"


def _label(name: str, **labels: str) -> Spoil:
    return lambda cluster: cluster.workload(name).labels.update(labels)


def _part_of_nothing(cluster: Cluster) -> None:
    del cluster.workload(INDEX).labels["app.kubernetes.io/part-of"]


WORLD = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "world"},
    "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 80}]}]},
}
OPEN = WORLD | {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 3000}]}]}}
FORGOTTEN = WORLD | {"spec": {"podSelector": {"matchLabels": {"app": "gone"}}, "policyTypes": ["Ingress"]}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mine"}, "stringData": {"key": "k"}}
SECOND_SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "second"},
    "spec": {
        "scaleTargetRef": {"kind": "StatefulSet", "name": GENERATOR},
        "minReplicas": 2,
        "maxReplicas": 4,
    },
}
HOST_FOLDER = {"name": "host", "hostPath": {"path": "/"}}

SPOILT: list[tuple[Policy, Spoil]] = [
    (pods.images_have_a_version, _container(GATEWAY, image="answerbox")),
    (pods.images_have_a_version, _container("chroma", image="answerbox:latest")),
    (pods.images_have_a_version, _container(GATEWAY, image="registry:5000/answerbox")),
    (pods.images_have_a_version, _container(GATEWAY, image="answerbox:0.0.9")),
    (pods.resources_are_bounded, _container(GATEWAY, resources={"requests": {"cpu": "1", "memory": "1Gi"}})),
    (
        pods.resources_are_bounded,
        _container(
            GATEWAY, resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "900m", "memory": "1Gi"}}
        ),
    ),
    (pods.nobody_is_root, _pod(GATEWAY, securityContext={})),
    (pods.nobody_is_root, lambda cluster: cluster.workload(INDEX).pod["securityContext"].update(runAsUser=0)),
    (pods.nobody_gets_more_rights, _secured(GATEWAY, allowPrivilegeEscalation=True)),
    (pods.nobody_gets_more_rights, _secured(GATEWAY, privileged=True)),
    (pods.nobody_gets_more_rights, _secured(GATEWAY, capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    (pods.nobody_gets_more_rights, _pod(GATEWAY, hostNetwork=True)),
    (pods.nobody_gets_more_rights, _pod(GATEWAY, volumes=[HOST_FOLDER])),
    (pods.nobody_gets_more_rights, _pod(GATEWAY, automountServiceAccountToken=True)),
    (pods.the_root_file_system_is_read_only, _secured(INDEX, readOnlyRootFilesystem=False)),
    (pods.the_root_file_system_is_read_only, _container(INDEX, volumeMounts=[])),
    (pods.volumes_and_mounts_belong_together, _pod(INDEX, volumes=[])),
    (
        pods.volumes_and_mounts_belong_together,
        lambda cluster: cluster.workload(INDEX).pod["volumes"].append({"emptyDir": {}, "name": "more"}),
    ),
    (pods.no_service_is_a_variable, _pod(INDEX, enableServiceLinks=True)),
    (pods.probes_are_there, lambda cluster: cluster.workload(INDEX).container.pop("startupProbe")),
    (pods.probes_are_there, _container(INDEX, livenessProbe={"httpGet": {"path": "/readyz", "port": "http"}})),
    (pods.probes_are_there, _container(INDEX, readinessProbe={"httpGet": {"path": "/readyz", "port": "web"}})),
    (
        pods.probes_are_there,
        lambda cluster: cluster.workload("chroma").container["startupProbe"].pop("failureThreshold"),
    ),
    (pods.there_is_time_to_end, _pod(INDEX, terminationGracePeriodSeconds=45)),
    (pods.there_is_time_to_end, _setting("ANSWERBOX_SHUTDOWN_S", "300")),
    (pods.there_is_time_to_end, _container(INDEX, lifecycle={})),
    (pods.parts_are_what_they_are_called, _container(INDEX, args=["serve", "--part", "generator"])),
    (pods.parts_are_what_they_are_called, _container(INDEX, args=["serve", "--part", "indexer"])),
    (pods.parts_are_what_they_are_called, _container(GATEWAY, args=["serve"])),
    (pods.one_owns_the_data, lambda cluster: cluster.workload(INDEX).spec.update(replicas=2)),
    (pods.one_owns_the_data, _spec("PersistentVolumeClaim", "answerbox-data", accessModes=["ReadWriteMany"])),
    (pods.one_owns_the_data, lambda cluster: _pod(GATEWAY, volumes=cluster.workload(INDEX).pod["volumes"])(cluster)),
    (pods.one_owns_the_data, _gone("PersistentVolumeClaim", "answerbox-data")),
    (wiring.names_are_used_once, _twice),
    (wiring.no_secret_is_written_down, _added(SECRET)),
    (wiring.no_secret_is_written_down, _setting("LANGFUSE_SECRET_KEY", "sk")),
    (wiring.no_secret_is_written_down, _given(GATEWAY, name="ANSWERBOX_LLM_API_KEY", value="sk")),
    (wiring.references_lead_somewhere, _container(GATEWAY, envFrom=[{"configMapRef": {"name": "another"}}])),
    (
        wiring.references_lead_somewhere,
        _given(GATEWAY, name="X", valueFrom={"secretKeyRef": {"name": "answerbox-llm", "key": "another"}}),
    ),
    (wiring.references_lead_somewhere, _pod(GATEWAY, volumes=[{"name": "s", "secret": {"secretName": "another"}}])),
    (wiring.references_lead_somewhere, _gone("PersistentVolumeClaim", "chroma-data")),
    (wiring.references_lead_somewhere, _gone("ServiceAccount", "answerbox")),
    (wiring.references_lead_somewhere, _other_backend),
    (wiring.selectors_select, _label(INDEX, **{"app.kubernetes.io/component": "embedder"})),
    (wiring.selectors_select, _gone("Service", GENERATOR)),
    (wiring.selectors_select, _spec("PodDisruptionBudget", INDEX, selector={"matchLabels": {"app": "gone"}})),
    (wiring.services_have_pods, _spec("Service", "chroma", selector={"app": "gone"})),
    (wiring.services_have_pods, _spec("Service", "chroma", ports=[{"port": 80, "targetPort": "http"}])),
    (wiring.services_have_pods, _spec("Service", INDEX, type="LoadBalancer")),
    (wiring.settings_are_taken, _setting("ANSWERBOX_SHUTDWON_S", "25")),
    (wiring.settings_are_taken, _setting("ANSWERBOX_SHUTDOWN_S", "long")),
    (wiring.settings_are_taken, _setting("ANSWERBOX_NEEDED_PARTS", "generator")),
    (wiring.settings_are_taken, _setting("ANSWERBOX_ENV", "development")),
    (wiring.budgets_let_nodes_go, _gone("PodDisruptionBudget", GATEWAY)),
    (wiring.budgets_let_nodes_go, _spec("PodDisruptionBudget", GATEWAY, maxUnavailable=0)),
    (wiring.scalers_have_targets, lambda cluster: cluster.workload(GATEWAY).spec.update(replicas=2)),
    (wiring.scalers_have_targets, lambda cluster: cluster.workload(GATEWAY).container["resources"].update(requests={})),
    (wiring.scalers_have_targets, _spec("HorizontalPodAutoscaler", GATEWAY, minReplicas=1)),
    (wiring.scalers_have_targets, _spec("ScaledObject", GENERATOR, maxReplicaCount=5)),
    (wiring.scalers_have_targets, _spec("Service", GENERATOR, clusterIP="")),
    (wiring.scalers_have_targets, _gone("Deployment", GATEWAY)),
    (wiring.scalers_have_targets, _added(SECOND_SCALER)),
    (network.every_pod_is_covered, _part_of_nothing),
    (network.every_pod_is_covered, _gone("NetworkPolicy", "answerbox-nothing")),
    (network.every_pod_is_covered, _added(FORGOTTEN)),
    (network.only_gateways_are_for_everybody, _added(OPEN)),
    (network.only_gateways_are_for_everybody, _gone("NetworkPolicy", "answerbox-callers")),
    (network.nobody_may_ask_the_whole_world, _added(WORLD)),
    (network.parts_reach_each_other, _gone("NetworkPolicy", GATEWAY)),
    (network.parts_reach_each_other, _gone("NetworkPolicy", GENERATOR)),
    (network.parts_reach_each_other, _gone("NetworkPolicy", "answerbox-chroma")),
    (network.parts_reach_each_other, _gone("NetworkPolicy", "answerbox-names")),
    (network.parts_reach_each_other, _gone("Service", INDEX)),
    (network.parts_reach_each_other, _setting("ANSWERBOX_INDEX_URL", "http://answerbox-index:3001")),
    (schemas.documents_have_their_shape, _spec("Deployment", GATEWAY, replica=2)),
    (schemas.documents_have_their_shape, _spec("ServiceMonitor", "answerbox", endpoint=[])),
    (schemas.documents_have_their_shape, _spec("ScaledObject", GENERATOR, minReplicaCount="2")),
    (schemas.documents_have_their_shape, _added({"apiVersion": "v9", "kind": "Pot", "metadata": {"name": "a"}})),
    (schemas.monitors_find_their_services, _spec("ServiceMonitor", "answerbox", selector={"matchLabels": {"a": "b"}})),
    (schemas.monitors_find_their_services, _other_key),
    (schemas.scaling_counts_a_metric_that_there_is, _other_query),
]


@pytest.mark.parametrize(
    ("policy", "spoil"), SPOILT, ids=[f"{policy.__name__}-{number}" for number, (policy, _) in enumerate(SPOILT, 1)]
)
def test_policy_sees_what_breaks_it(policy: Policy, spoil: Spoil) -> None:
    cluster = render(FULL)
    spoil(cluster)

    assert list(policy(cluster))


def test_every_policy_has_something_that_breaks_it() -> None:
    assert {policy.__name__ for policy, _ in SPOILT} == POLICIES.keys()


def test_every_component_and_overlay_is_rendered() -> None:
    folders = {path.parent.name for path in FOLDER.rglob("kustomization.yaml")}
    rendered = {name.rpartition("/")[2] for parts in RENDERINGS.values() for name in parts}

    assert folders - rendered == {"common", "addresses"}


def _page() -> str:
    return (FOLDER / "README.md").read_text()


def test_every_setting_of_the_page_is_one() -> None:
    assert set(re.findall(r"ANSWERBOX_\w+", _page())) <= KNOWN


@pytest.mark.parametrize("name", wiring.PROVIDED)
def test_page_names_what_the_operator_brings(name: str) -> None:
    keys = wiring.PROVIDED[name]
    page = _page()

    assert f"`{name}`" in page
    assert name == "answerbox-tls" or all(key in page for key in keys)


def test_example_of_the_page_renders() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", _page(), re.DOTALL)
    made = Cluster(kustomize(example))

    images = {workload.container["image"] for workload in made.workloads}
    (settings,) = made.of_kind("ConfigMap")
    assert {document["metadata"].get("namespace") for document in made.documents} == {"answerbox"}
    assert images == {f"YOUR-REGISTRY/answerbox:{__version__}"}
    assert settings["data"]["ANSWERBOX_ISOLATION"] == "true"
    assert settings["data"]["ANSWERBOX_ENV"] == "production"


def test_pod_that_copies_the_data_keeps_the_rules_of_pods() -> None:
    pod = yaml.safe_load((FOLDER / "copy" / "pod.yaml").read_text())
    shaped = Cluster([pod])
    alone = Cluster([{"kind": "StatefulSet", "metadata": pod["metadata"], "spec": {"template": pod}}])
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]

    assert list(schemas.documents_have_their_shape(shaped)) == []
    assert claims == ["answerbox-data"]
    for policy in (
        pods.images_have_a_version,
        pods.resources_are_bounded,
        pods.nobody_is_root,
        pods.nobody_gets_more_rights,
        pods.the_root_file_system_is_read_only,
        pods.volumes_and_mounts_belong_together,
        pods.no_service_is_a_variable,
    ):
        assert list(policy(alone)) == []

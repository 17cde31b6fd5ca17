"""What must be so of each pod. A policy yields the faults that it finds, in words."""

from __future__ import annotations

from collections.abc import Iterator

from answerbox import __version__
from answerbox.cli.parts import Part
from answerbox.cli.serve import STOP_SPARE_S
from answerbox.settings import Settings
from tests.kubernetes.cluster import OWNS, Cluster, Workload

PARTS = frozenset(part.name for part in Part)
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
KILOBYTE = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def images_have_a_version(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        image, _, tag = workload.container["image"].rpartition(":")
        if not image or tag == "latest" or "/" in tag:
            yield f"{workload.name}: {workload.container['image']} has no version"
        if image == "answerbox" and tag.removesuffix("-cuda") != __version__:
            yield f"{workload.name}: {tag} is not {__version__}"


def resources_are_bounded(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        resources = workload.container.get("resources", {})
        for what in ("cpu", "memory"):
            asked, most = (resources.get(kind, {}).get(what) for kind in ("requests", "limits"))
            if asked is None or most is None:
                yield f"{workload.name}: {what} has no request or no limit"
            elif amount(asked) > amount(most):
                yield f"{workload.name}: {asked} of {what} are more than {most}"


def amount(quantity: str) -> float:
    """A quantity of the API: cores, or bytes."""
    if quantity.endswith("m"):
        return float(quantity[:-1]) / 1000
    unit = KILOBYTE.get(quantity[-2:])
    return float(quantity[:-2]) * unit if unit else float(quantity)


def nobody_is_root(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        context = workload.pod.get("securityContext", {})
        if not context.get("runAsNonRoot") or not context.get("runAsUser") or not context.get("runAsGroup"):
            yield f"{workload.name} may be root"
        if not context.get("fsGroup"):
            yield f"{workload.name} may not write into its volumes"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{workload.name} has no seccomp profile"
        if workload.ours and context.get("runAsUser") != 1034:
            yield f"{workload.name} is not the image's user"


def nobody_gets_more_rights(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        context = workload.container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{workload.name} may gain privileges"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{workload.name} has capabilities"
        if any(workload.pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{workload.name} shares something with its node"
        if any("hostPath" in volume for volume in workload.pod.get("volumes", [])):
            yield f"{workload.name} mounts a folder of its node"
        if workload.pod.get("automountServiceAccountToken") is not False:
            yield f"{workload.name} has a token of the cluster"


def the_root_file_system_is_read_only(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        if not workload.container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{workload.name} may write into its image"
        mounts = workload.container["volumeMounts"]
        writable = {mount["mountPath"].strip("/") for mount in mounts if not mount.get("readOnly")}
        needed = {"tmp", "data"} if workload.ours else {"tmp"}
        if missing := needed - writable:
            yield f"{workload.name} cannot write into {', '.join(sorted(missing))}"


def volumes_and_mounts_belong_together(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", [])}
        mounted = {mount["name"] for mount in workload.container.get("volumeMounts", [])}
        if volumes.keys() ^ mounted:
            yield f"{workload.name}: {', '.join(sorted(volumes.keys() ^ mounted))}"
        if any("emptyDir" in volume and not volume["emptyDir"].get("sizeLimit") for volume in volumes.values()):
            yield f"{workload.name} has a volume without an end"


def no_service_is_a_variable(cluster: Cluster) -> Iterator[str]:
    """Kubernetes would make ANSWERBOX_PORT and its like of a Service's name."""
    for workload in cluster.workloads:
        if workload.pod.get("enableServiceLinks") is not False:
            yield workload.name


def probes_are_there(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        for kind in PROBES:
            probe = workload.container.get(kind)
            if probe is None:
                yield f"{workload.name} has no {kind}"
                continue
            if probe["httpGet"]["port"] not in workload.ports:
                yield f"{workload.name}: the port of its {kind} is none of its own"
            path = "/readyz" if kind == "readinessProbe" else "/livez"
            if workload.ours and probe["httpGet"]["path"] != path:
                yield f"{workload.name}: {kind} asks {probe['httpGet']['path']}, not {path}"
        startup = workload.container.get("startupProbe", {})
        if startup.get("periodSeconds", 10) * startup.get("failureThreshold", 3) < 300:
            yield f"{workload.name} has too little time to start"


def there_is_time_to_end(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        container = workload.container
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if pause < 5:
            yield f"{workload.name} is asked while it goes"
        needed = pause + (_shutdown_s(cluster, workload) + STOP_SPARE_S if workload.ours else 30)
        if workload.pod.get("terminationGracePeriodSeconds", 30) <= needed:
            yield f"{workload.name} is killed before {needed:.0f} s have passed"


def _shutdown_s(cluster: Cluster, workload: Workload) -> float:
    default: float = Settings.model_fields["shutdown_s"].default
    names = [source["configMapRef"]["name"] for source in workload.container.get("envFrom", [])]
    found = (cluster.one("ConfigMap", name)["data"].get("ANSWERBOX_SHUTDOWN_S") for name in names)
    return next((float(value) for value in found if value), default)


def parts_are_what_they_are_called(cluster: Cluster) -> Iterator[str]:
    for workload in cluster.workloads:
        if not workload.ours:
            continue
        match workload.container.get("args"):
            case ["serve"] if workload.part == "gateway" and OWNS in workload.labels:
                continue
            case ["serve", "--part", part] if part in PARTS and part == workload.part:
                continue
            case other:
                yield f"{workload.name}: {other}"


def one_owns_the_data(cluster: Cluster) -> Iterator[str]:
    claims = cluster.of_kind("PersistentVolumeClaim")
    for claim in claims:
        name = claim["metadata"]["name"]
        owners = [workload for workload in cluster.workloads if name in _claims(workload)]
        if len(owners) != 1:
            yield f"{name} has {len(owners)} owners"
        for owner in owners:
            if owner.kind != "StatefulSet" or owner.spec.get("replicas") != 1:
                yield f"{owner.name} may be there twice, and {name} is for one"
        if claim["spec"]["accessModes"] != ["ReadWriteOncePod"]:
            yield f"{name} may be mounted twice"
    if not any(claim["metadata"]["name"] == "answerbox-data" for claim in claims):
        yield "the documents are nowhere"


def _claims(workload: Workload) -> set[str]:
    volumes = workload.pod.get("volumes", [])
    return {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}


POLICIES = (
    images_have_a_version,
    resources_are_bounded,
    nobody_is_root,
    nobody_gets_more_rights,
    the_root_file_system_is_read_only,
    volumes_and_mounts_belong_together,
    no_service_is_a_variable,
    probes_are_there,
    there_is_time_to_end,
    parts_are_what_they_are_called,
    one_owns_the_data,
)

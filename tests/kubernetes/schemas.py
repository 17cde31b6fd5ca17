"""The shape of each document: by the API's schemas, and by our own for what an operator of the cluster adds to it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate

from tests.kubernetes.cluster import Cluster, Document
from tests.kubernetes.wiring import PROVIDED

API = "1.37"
METRICS = Path(__file__).parents[2] / "docs" / "observability.md"


def _object(required: Document, optional: Document | None = None) -> Document:
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


TEXT: Document = {"type": "string", "minLength": 1}
COUNT: Document = {"type": "integer", "minimum": 1}
SERVICE_MONITOR = _object(
    {
        "jobLabel": {"const": "app.kubernetes.io/name"},
        "selector": _object({"matchLabels": {"type": "object", "additionalProperties": TEXT}}),
        "endpoints": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "port": TEXT,
                    "path": {"const": "/metrics"},
                    "interval": {"type": "string", "pattern": "^[0-9]+s$"},
                    "authorization": _object(
                        {"type": {"const": "Bearer"}, "credentials": _object({"name": TEXT, "key": TEXT})}
                    ),
                }
            ),
        },
    }
)
SCALED_OBJECT = _object(
    {
        "scaleTargetRef": _object({"apiVersion": {"const": "apps/v1"}, "kind": TEXT, "name": TEXT}),
        "minReplicaCount": COUNT,
        "maxReplicaCount": COUNT,
        "triggers": {
            "type": "array",
            "minItems": 1,
            "items": _object(
                {
                    "type": {"const": "prometheus"},
                    "metricType": {"const": "AverageValue"},
                    "metadata": _object(
                        {
                            "serverAddress": {"type": "string", "pattern": "^http://"},
                            "query": TEXT,
                            "threshold": {"type": "string", "pattern": "^[0-9]+$"},
                        }
                    ),
                }
            ),
        },
    },
    {
        "pollingInterval": COUNT,
        "fallback": _object({"failureThreshold": COUNT, "replicas": COUNT}),
        "advanced": _object({"horizontalPodAutoscalerConfig": {"type": "object"}}),
    },
)
OURS = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): SERVICE_MONITOR,
    ("keda.sh/v1alpha1", "ScaledObject"): SCALED_OBJECT,
}


def documents_have_their_shape(cluster: Cluster) -> Iterator[str]:
    for document in cluster.documents:
        if fault := _fault(json.dumps(document, sort_keys=True)):
            yield f"{document['kind']} {document['metadata']['name']}: {fault}"


@cache
def _fault(text: str) -> str | None:
    """Of a document; cached, for most documents stand in several renderings, and the schemas are large."""
    document = json.loads(text)
    schema = OURS.get((document["apiVersion"], document["kind"]))
    try:
        if schema:
            jsonschema.validate(document["spec"], schema)
        else:
            kubernetes_validate.validate(document, API, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as exc:
        return str(exc.message)
    except kubernetes_validate.SchemaNotFoundError:
        return f"{document['apiVersion']} has none such"
    return None


def monitors_find_their_services(cluster: Cluster) -> Iterator[str]:
    for monitor in cluster.of_kind("ServiceMonitor"):
        labels = monitor["spec"]["selector"]["matchLabels"].items()
        for endpoint in monitor["spec"]["endpoints"]:
            found = [
                service
                for service in cluster.of_kind("Service")
                if labels <= service["metadata"]["labels"].items()
                and endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
            ]
            if not found:
                yield f"{monitor['metadata']['name']} finds nothing"
            credentials = endpoint["authorization"]["credentials"]
            if credentials["key"] not in PROVIDED.get(credentials["name"], {}):
                yield f"{monitor['metadata']['name']}: Secret {credentials['name']}"


def scaling_counts_a_metric_that_there_is(cluster: Cluster) -> Iterator[str]:
    known = set(re.findall(r"^\| `(answerbox_\w+)` \|", METRICS.read_text(), re.MULTILINE))
    for scaler in cluster.of_kind("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            asked = set(re.findall(r"answerbox_\w+", trigger["metadata"]["query"]))
            if not asked or asked - known:
                yield f"{scaler['metadata']['name']}: {asked or 'nothing'}"


POLICIES = (
    documents_have_their_shape,
    monitors_find_their_services,
    scaling_counts_a_metric_that_there_is,
)

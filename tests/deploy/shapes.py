"""The parts of the Kubernetes API that our manifests use: which fields there are, and what they hold.

A shape is a type, a list of one shape, a map of fields to shapes (`!` marks a needed field), or a
predicate. `texts` is a free map of texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Shape: TypeAlias = Any


def texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    )


def port(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and 0 < value < 65536)


def quantities(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= {"cpu", "memory", "storage"}


def among(*words: str) -> Callable[[Any], bool]:
    return lambda value: value in words


METADATA: Shape = {"name!": str, "namespace": str, "labels": texts, "annotations": texts}
SELECTOR: Shape = {"matchLabels!": texts}
PROBE: Shape = {
    "httpGet!": {"path!": str, "port!": port},
    "periodSeconds": int,
    "timeoutSeconds": int,
    "failureThreshold": int,
    "initialDelaySeconds": int,
}
SECURITY: Shape = {
    "runAsNonRoot": bool,
    "runAsUser": int,
    "runAsGroup": int,
    "fsGroup": int,
    "fsGroupChangePolicy": among("OnRootMismatch", "Always"),
    "seccompProfile": {"type!": among("RuntimeDefault", "Localhost", "Unconfined")},
    "allowPrivilegeEscalation": bool,
    "readOnlyRootFilesystem": bool,
    "capabilities": {"drop": [str], "add": [str]},
}
ENV: Shape = {"name!": str, "value": str, "valueFrom": {"fieldRef": {"fieldPath!": str}}}
CONTAINER: Shape = {
    "name!": str,
    "image!": str,
    "imagePullPolicy": among("IfNotPresent", "Always", "Never"),
    "ports": [{"name": str, "containerPort!": port}],
    "env": [ENV],
    "envFrom": [{"configMapRef": {"name!": str}}],
    "startupProbe": PROBE,
    "livenessProbe": PROBE,
    "readinessProbe": PROBE,
    "lifecycle": {"preStop": {"exec": {"command!": [str]}}},
    "resources": {"requests": quantities, "limits": quantities},
    "securityContext": SECURITY,
    "volumeMounts": [{"name!": str, "mountPath!": str, "readOnly": bool}],
}
POD: Shape = {
    "enableServiceLinks": bool,
    "automountServiceAccountToken": bool,
    "terminationGracePeriodSeconds": int,
    "securityContext": SECURITY,
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey!": str, "labelSelector!": SELECTOR}
            ]
        }
    },
    "containers!": [CONTAINER],
    "volumes": [
        {
            "name!": str,
            "secret": {"secretName!": str, "defaultMode": int},
            "emptyDir": {"sizeLimit": str},
        }
    ],
}
PEERS: Shape = [{"podSelector": SELECTOR}]
RULE: Shape = {"ports": [{"port!": port, "protocol": among("TCP", "UDP")}]}

KINDS: dict[tuple[str, str], Shape] = {
    ("v1", "Secret"): {"type": str, "stringData": texts},
    ("v1", "ConfigMap"): {"data": texts},
    ("v1", "Service"): {
        "spec!": {
            "selector!": texts,
            "clusterIP": str,
            "publishNotReadyAddresses": bool,
            "ports!": [{"name": str, "port!": port, "targetPort": port}],
        }
    },
    ("apps/v1", "StatefulSet"): {
        "spec!": {
            "serviceName!": str,
            "replicas": int,
            "podManagementPolicy": among("Parallel", "OrderedReady"),
            "updateStrategy": {"type!": among("RollingUpdate", "OnDelete")},
            "selector!": SELECTOR,
            "template!": {"metadata": {"labels": texts, "annotations": texts}, "spec!": POD},
            "volumeClaimTemplates": [
                {
                    "metadata!": METADATA,
                    "spec!": {"accessModes!": [str], "resources!": {"requests": quantities}},
                }
            ],
        }
    },
    ("policy/v1", "PodDisruptionBudget"): {"spec!": {"maxUnavailable": int, "selector!": SELECTOR}},
    ("networking.k8s.io/v1", "NetworkPolicy"): {
        "spec!": {
            "podSelector!": SELECTOR,
            "policyTypes": [among("Ingress", "Egress")],
            "ingress": [{**RULE, "from": PEERS}],
            "egress": [{**RULE, "to": PEERS}],
        }
    },
}


def faults(value: Any, shape: Shape, where: str = "") -> list[str]:
    """What in a value does not fit a shape."""
    if isinstance(shape, dict):
        return _of_fields(value, shape, where)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        return [
            fault
            for number, item in enumerate(value)
            for fault in faults(item, shape[0], f"{where}[{number}]")
        ]
    if isinstance(shape, type):
        exact = type(value) is shape
        return [] if exact else [f"{where}: {value!r} is no {shape.__name__}"]
    return [] if shape(value) else [f"{where}: {value!r} cannot be"]


def _of_fields(value: Any, shape: dict[str, Shape], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    fields = {name.rstrip("!"): inner for name, inner in shape.items()}
    needed = {name.rstrip("!") for name in shape if name.endswith("!")}
    found = [f"{where}.{name}: no such field" for name in sorted(set(value) - set(fields))]
    found += [f"{where}.{name}: missing" for name in sorted(needed - set(value))]
    for name in set(value) & set(fields):
        found += faults(value[name], fields[name], f"{where}.{name}")
    return found


def manifest_faults(manifest: Any) -> list[str]:
    """What is wrong with a whole manifest."""
    kind = (manifest.get("apiVersion"), manifest.get("kind"))
    if kind not in KINDS:
        return [f"unknown kind {kind}"]
    shape = {"apiVersion!": str, "kind!": str, "metadata!": METADATA, **KINDS[kind]}
    return faults(manifest, shape, str(kind[1]))

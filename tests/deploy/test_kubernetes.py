"""The manifests of `k8s/`: well-formed, consistent with one another and with the settings."""

from __future__ import annotations

import copy
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from hexhub import app, serving
from hexhub.config import check_listening, describe, load
from hexhub.http.metrics import Metrics
from tests.programs import require

ROOT = Path(__file__).resolve().parents[2]
RELEASES = ("1.27", "1.37")
"""Of Kubernetes: the oldest and the newest that the manifests are judged by."""
LABELS = {"app.kubernetes.io/name": "hexhub"}


def manifests() -> list[dict[str, Any]]:
    files = yaml.safe_load((ROOT / "k8s/kustomization.yaml").read_text())["resources"]
    return [
        value for file in files for value in yaml.safe_load_all((ROOT / "k8s" / file).read_text())
    ]


def one(kind: str, name: str = "hexhub") -> dict[str, Any]:
    (found,) = [m for m in manifests() if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = one("StatefulSet")["spec"]["template"]["spec"]
    return spec


def test_every_file_is_in_the_kustomization_and_fits_its_kind() -> None:
    listed = set(yaml.safe_load((ROOT / "k8s/kustomization.yaml").read_text())["resources"])
    there = {path.name for path in (ROOT / "k8s").glob("*.yaml")} - {"kustomization.yaml"}
    assert listed == there
    for release in RELEASES:
        for manifest in manifests():
            kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), "3"),
        (("spec", "template", "spec", "enableServiceLink"), False),
        (("spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet"), {"path": "/"}),
    ],
)
def test_a_wrong_manifest_is_seen(path: tuple[Any, ...], value: object) -> None:
    broken = copy.deepcopy(one("StatefulSet"))
    place: Any = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, RELEASES[-1], strict=True)


def test_selectors_choose_the_pods() -> None:
    stateful = one("StatefulSet")["spec"]
    assert stateful["template"]["metadata"]["labels"] == LABELS
    assert stateful["selector"]["matchLabels"] == LABELS
    assert one("Service")["spec"]["selector"] == LABELS
    assert one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == LABELS
    assert one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == LABELS
    (rule,) = pod()["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["labelSelector"]["matchLabels"] == LABELS


def test_members_find_one_another_before_they_are_ready() -> None:
    peers = one("Service", "hexhub-peers")["spec"]
    assert one("StatefulSet")["spec"]["serviceName"] == "hexhub-peers"
    assert peers["clusterIP"] == "None"
    assert peers["publishNotReadyAddresses"]
    assert one("ConfigMap")["data"]["CLUSTER_DNS_HOSTNAME"] == "hexhub-peers"
    assert one("StatefulSet")["spec"]["podManagementPolicy"] == "Parallel"
    assert one("ConfigMap")["data"]["CLUSTER_EXPECT"] == str(one("StatefulSet")["spec"]["replicas"])


def test_the_container_may_do_nothing_that_a_node_does_not_need() -> None:
    assert pod()["enableServiceLinks"] is False
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["securityContext"]["runAsUser"] == 10001
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_volumes_ports_and_claims_are_declared() -> None:
    (container,) = pod()["containers"]
    claims = {
        claim["metadata"]["name"] for claim in one("StatefulSet")["spec"]["volumeClaimTemplates"]
    }
    declared = claims | {volume["name"] for volume in pod()["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == declared
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 4000, "cluster": 5000}
    for service in ("hexhub", "hexhub-peers"):
        for port in one("Service", service)["spec"]["ports"]:
            assert port["targetPort"] in ports


def test_probes_ask_for_paths_that_are_there() -> None:
    (container,) = pod()["containers"]
    there = {route.pattern for route in app.router(Metrics()).routes}
    asked = {
        container[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {"/health/live", "/health/read"}
    assert asked <= there


def test_the_drain_ends_before_the_grace_does() -> None:
    (container,) = pod()["containers"]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pause + serving.DRAIN_S <= pod()["terminationGracePeriodSeconds"]


def environment(tmp_path: Path) -> dict[str, str]:
    """What the first pod's process is given."""
    (container,) = pod()["containers"]
    fields = {"metadata.namespace": "hubs", "metadata.name": "hexhub-0"}
    given: dict[str, str] = dict(one("ConfigMap")["data"])
    for each in container["env"]:
        text = each.get("value") or fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
        given[each["name"]] = re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], text)
    secret = tmp_path / "secret_key_base"
    secret.write_text("0" * 64)
    assert given["SECRET_KEY_BASE_FILE"] == "/run/secrets/hexhub/secret_key_base"
    return given | {
        "SECRET_KEY_BASE_FILE": str(secret),
        "HEXHUB_HOST": "0.0.0.0",  # the image's
        "HEXHUB_SERVICE_HOST": "10.0.0.1",
        "HEXHUB_PORT": "tcp://10.0.0.1:80",
    }


def test_every_name_of_the_environment_is_a_setting_that_arrives(tmp_path: Path) -> None:
    given = environment(tmp_path)
    names = {setting.name for setting in describe(load({}, checkout=tmp_path))}
    names |= {f"{name}_FILE" for name in names}
    ours = set(given) - {"POD_NAMESPACE", "HEXHUB_SERVICE_HOST", "HEXHUB_PORT"}
    assert ours <= names
    config = load(given, checkout=tmp_path)
    check_listening(config)
    assert config.node_name == "hexhub-0"
    assert config.cluster_advertise == "hexhub-0.hexhub-peers.hubs.svc.cluster.local"
    assert config.cluster_discovery_type == "dns"
    assert config.port == 4000


def test_kubectl_builds_the_base() -> None:
    require("kubectl")
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "k8s")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = [value["kind"] for value in yaml.safe_load_all(done.stdout)]
    assert sorted(built) == sorted(each["kind"] for each in manifests())

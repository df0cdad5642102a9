"""The chart on a real API server: installed, tested, upgraded, rolled back and taken away by the real helm."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.charts.cluster.control_plane import ControlPlane
from tests.charts.tools import CHART, DEPLOYABLES, helm, profile_values, require
from tests.machine import PATIENCE_SECONDS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

NAMESPACE = "released"
OURS = "app.kubernetes.io/part-of=drillyard"
EARLIER = Path(__file__).with_name("earlier_release.yaml")


@pytest.fixture(scope="module", autouse=True)
def namespace(control_plane: ControlPlane) -> None:
    require("helm")
    control_plane.kubectl("create", "namespace", NAMESPACE)


@pytest.fixture
def release(control_plane: ControlPlane) -> Iterator[str]:
    """The chart installed under a name, with the values that so old an API server accepts."""
    yield from installed(control_plane, CHART, *profile_values("minimal-1.20"))


@pytest.fixture
def earlier_release(control_plane: ControlPlane, tmp_path: Path) -> Iterator[str]:
    """The same, as an earlier chart made it."""
    (tmp_path / "templates").mkdir()
    shutil.copy(EARLIER, tmp_path / "templates")
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: drillyard\nversion: 0.1.0\n")
    yield from installed(control_plane, tmp_path)
    control_plane.kubectl("delete", "job", "train-1", "--ignore-not-found", "-n", NAMESPACE)


def installed(control_plane: ControlPlane, chart: Path, *values: str) -> Iterator[str]:
    try:
        run(control_plane, "install", "dy", str(chart), *values)
        yield "dy"
    finally:
        helm("uninstall", "dy", "--namespace", NAMESPACE, "--ignore-not-found", kubeconfig=control_plane.kubeconfig)


def run(control_plane: ControlPlane, *arguments: str) -> str:
    done = helm(*arguments, "--namespace", NAMESPACE, kubeconfig=control_plane.kubeconfig)
    assert done.returncode == 0, done.stderr
    return done.stdout


def within_patience(claim: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < end, f"{what}, within {PATIENCE_SECONDS:.0f} s"
        # A look takes two programs a third of a second of computing.
        time.sleep(0.5)


def names(control_plane: ControlPlane, kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in control_plane.objects(kind, NAMESPACE)}


def pod_levels(control_plane: ControlPlane) -> dict[str, str]:
    """The log level that each pod is told, by the name of what it runs."""
    return {
        pod["metadata"]["labels"]["app.kubernetes.io/name"]: entry["value"]
        for pod in control_plane.objects("pods", NAMESPACE)
        if "deletionTimestamp" not in pod["metadata"]
        for entry in pod["spec"]["containers"][0].get("env", ())
        if entry["name"].endswith("_LOG_LEVEL")
    }


def levels_are(control_plane: ControlPlane, level: str) -> None:
    expected = dict.fromkeys(DEPLOYABLES, level)
    within_patience(lambda: pod_levels(control_plane) == expected, f"every pod has log level {level}")


def test_an_earlier_release_lives_through_upgrade_rollback_and_uninstall_beside_its_attempts(
    control_plane: ControlPlane, earlier_release: str
) -> None:
    expected = {f"{earlier_release}-{name}" for name in DEPLOYABLES}
    levels_are(control_plane, "info")
    attempt, volume = job_of_an_attempt(control_plane, earlier_release), volume_uid(control_plane)
    token = token_of(control_plane, earlier_release)
    values = (*profile_values("minimal-1.20"), "--set", "logs.level=debug")
    run(control_plane, "upgrade", earlier_release, str(CHART), *values)
    assert names(control_plane, "deployments") == names(control_plane, "services") == expected
    assert names(control_plane, "networkpolicies") == expected
    levels_are(control_plane, "debug")
    assert len(control_plane.objects("replicasets", NAMESPACE)) == 2 * len(DEPLOYABLES)
    # Pods of both charts meet while they are replaced.
    assert token_of(control_plane, earlier_release) == token
    run(control_plane, "rollback", earlier_release, "1")
    levels_are(control_plane, "info")
    (alive,) = control_plane.objects("jobs", NAMESPACE)
    assert (alive["metadata"]["uid"], volume_uid(control_plane)) == (attempt, volume)
    assert token_of(control_plane, earlier_release) == token
    history = json.loads(run(control_plane, "history", earlier_release, "--output", "json"))
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "deployed"]

    run(control_plane, "uninstall", earlier_release)
    kinds = "deployments,replicasets,pods,services,serviceaccounts,configmaps,secrets,networkpolicies"
    within_patience(lambda: leftovers(control_plane, kinds) == [], "nothing of the release is left")
    assert names(control_plane, "persistentvolumeclaims") == {f"{earlier_release}-data"}
    assert names(control_plane, "jobs") == {"train-1"}


def token_of(control_plane: ControlPlane, release: str) -> Any:
    secrets = {one["metadata"]["name"]: one["data"] for one in control_plane.objects("secrets", NAMESPACE)}
    return secrets[f"{release}-service-token"]


def job_of_an_attempt(control_plane: ControlPlane, release: str) -> str:
    """Make a Job that has the labels of the release, as a trainer does, and return its uid."""
    control_plane.kubectl("create", "job", "train-1", "--image=drillyard/trainer:1", "-n", NAMESPACE)
    labels = (OURS, f"app.kubernetes.io/instance={release}", "app.kubernetes.io/managed-by=drillyard-trainer")
    made = control_plane.kubectl("label", "job", "train-1", *labels, "-n", NAMESPACE, "-o", "json")
    return str(json.loads(made)["metadata"]["uid"])


def leftovers(control_plane: ControlPlane, kinds: str) -> list[str]:
    ours = json.loads(control_plane.kubectl("get", kinds, "-n", NAMESPACE, "-l", OURS, "-o", "json"))["items"]
    releases = json.loads(control_plane.kubectl("get", "secrets", "-n", NAMESPACE, "-l", "owner=helm", "-o", "json"))
    return [item["metadata"]["name"] for item in ours + releases["items"]]


def test_the_data_volume_is_taken_over_by_a_new_release_of_the_same_name(
    control_plane: ControlPlane, release: str
) -> None:
    before = volume_uid(control_plane)
    run(control_plane, "uninstall", release)
    run(control_plane, "install", release, str(CHART), *profile_values("minimal-1.20"))
    assert volume_uid(control_plane) == before


def volume_uid(control_plane: ControlPlane) -> Any:
    (claim,) = control_plane.objects("persistentvolumeclaims", NAMESPACE)
    return claim["metadata"]["uid"]


ELSEWHERE = "database.existingSecret=databases,artifacts.url=s3://bucket/drillyard"
BACK = {
    "rollback": ("rollback", "dy", "1"),
    "upgrade": (
        "upgrade",
        "dy",
        str(CHART),
        "--reset-then-reuse-values",
        "--set",
        "database.existingSecret=,artifacts.url=,tls.existingSecret=",
    ),
}


def strategies(control_plane: ControlPlane) -> dict[str, Any]:
    return {one["metadata"]["name"]: one["spec"]["strategy"] for one in control_plane.objects("deployments", NAMESPACE)}


@pytest.mark.parametrize("way", list(BACK))
def test_databases_and_artifacts_move_out_of_the_volume_and_back_and_tls_comes_and_goes(
    control_plane: ControlPlane, release: str, way: str
) -> None:
    one_after_another = {f"{release}-{name}": {"type": "Recreate"} for name in DEPLOYABLES}
    before = volume_uid(control_plane)
    assert strategies(control_plane) == one_after_another
    values = ("--reset-then-reuse-values", "--set", f"{ELSEWHERE},tls.existingSecret=certificates")
    run(control_plane, "upgrade", release, str(CHART), *values)
    assert {one["type"] for one in strategies(control_plane).values()} == {"RollingUpdate"}
    assert volume_uid(control_plane) == before
    run(control_plane, *BACK[way])
    assert strategies(control_plane) == one_after_another
    assert volume_uid(control_plane) == before


def test_a_device_comes_and_goes(control_plane: ControlPlane, release: str) -> None:
    def rolls(*sets: str) -> dict[str, Any]:
        values = (argument for one in sets for argument in ("--set", one))
        run(control_plane, "upgrade", release, str(CHART), "--reset-then-reuse-values", *values)
        found: dict[str, Any] = strategies(control_plane)[f"{release}-test-runner"]["rollingUpdate"]
        return found

    gpu = r"services.test-runner.resources.limits.nvidia\.com/gpu"
    assert rolls(ELSEWHERE)["maxSurge"] == "25%"
    assert rolls(f"{gpu}=1", "services.test-runner.runtimeClassName=nvidia") == {"maxSurge": 0, "maxUnavailable": 1}
    assert rolls(f"{gpu}=null", "services.test-runner.runtimeClassName=null")["maxSurge"] == "25%"
    run(control_plane, "rollback", release, "1")
    assert strategies(control_plane)[f"{release}-test-runner"] == {"type": "Recreate"}


def test_a_number_of_replicas_that_somebody_else_set_is_taken_back_by_force(
    control_plane: ControlPlane, release: str
) -> None:
    def upgrade(*options: str) -> subprocess.CompletedProcess[str]:
        values = ("--reset-then-reuse-values", "--set", "services.gateway.replicas=3", "--namespace", NAMESPACE)
        return helm("upgrade", release, str(CHART), *values, *options, kubeconfig=control_plane.kubeconfig)

    # What `kubectl scale` leaves on servers that note who scaled, which this old one does not.
    change = ("--type=merge", "--patch", '{"spec": {"replicas": 2}}')
    control_plane.kubectl("patch", "deployment", f"{release}-gateway", "-n", NAMESPACE, *change)
    refused = upgrade()
    assert refused.returncode != 0
    assert "conflict" in refused.stderr
    assert ".spec.replicas" in refused.stderr
    assert upgrade("--force-conflicts").returncode == 0
    assert upgrade().returncode == 0
    gateway = control_plane.kubectl("get", "deployment", f"{release}-gateway", "-n", NAMESPACE, "-o", "json")
    assert json.loads(gateway)["spec"]["replicas"] == 3


@pytest.mark.parametrize(("phase", "code"), [("Succeeded", 0), ("Failed", 1)])
def test_helm_test_says_what_the_smoke_pod_found(
    control_plane: ControlPlane, release: str, phase: str, code: int
) -> None:
    smoke = f"{release}-smoke"
    with ThreadPoolExecutor(1) as pool:
        arguments = ("test", release, "--namespace", NAMESPACE, "--timeout", "60s")
        asked = pool.submit(helm, *arguments, kubeconfig=control_plane.kubeconfig)
        within_patience(lambda: smoke in names(control_plane, "pods"), "helm makes the smoke pod")
        # No node runs it here, so its end is written as a kubelet would.
        status = json.dumps({"status": {"phase": phase}})
        control_plane.kubectl("patch", "pod", smoke, "-n", NAMESPACE, "--subresource=status", "--patch", status)
        answer = asked.result()
    assert answer.returncode == code, answer.stderr
    assert f"Phase:          {phase}" in answer.stdout + answer.stderr


def test_a_dry_run_on_the_server_accepts_every_object_and_stores_none(control_plane: ControlPlane) -> None:
    arguments = ("install", "try", str(CHART), "--dry-run=server", *profile_values("minimal-1.20"))
    assert "kind: Deployment" in run(control_plane, *arguments)
    served = (
        *arguments,
        "--values",
        str(CHART / "ci" / "postgres-s3.yaml"),
        "--set",
        "podDisruptionBudget.enabled=false,ingress.enabled=true",
        "--set",
        "authentication.existingSecret=login,authentication.outsideUrl=https://lab.example/drill",
    )
    accepted = run(control_plane, *served)
    assert {"NetworkPolicy", "Ingress"} <= {line.removeprefix("kind: ") for line in accepted.splitlines()}
    assert not any(name.startswith("try-") for name in names(control_plane, "deployments"))


@pytest.mark.parametrize(
    ("values", "value", "api"),
    [
        ("tls.certManager.issuerRef.name=lab", "tls.certManager.issuerRef", "cert-manager.io/v1"),
        (
            "httpRoute.parentRefs[0].name=x,authentication.existingSecret=x,authentication.outsideUrl=https://x.example",
            "httpRoute.parentRefs",
            "gateway.networking.k8s.io/v1",
        ),
        (
            f"{ELSEWHERE},autoscaling.prometheusUrl=http://x,services.evaluator.autoscaling.maxReplicas=2,"
            "services.evaluator.autoscaling.queueAgeSeconds=9",
            "services.evaluator.autoscaling.queueAgeSeconds",
            "keda.sh/v1alpha1",
        ),
    ],
)
def test_what_the_cluster_does_not_know_is_refused_by_its_name(
    control_plane: ControlPlane, values: str, value: str, api: str
) -> None:
    # By it the chart sees that there is a cluster; a namespace gets it soon after its making.
    within_patience(lambda: "default" in names(control_plane, "serviceaccounts"), "the namespace has its account")
    arguments = ("install", "try", str(CHART), "--namespace", NAMESPACE, "--set", values)
    refused = helm(*arguments, kubeconfig=control_plane.kubeconfig)
    assert f"{value} is set, but this cluster does not know {api}." in refused.stderr


def test_a_failing_kubectl_is_not_taken_for_an_answer(control_plane: ControlPlane, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, subprocess.SubprocessError)):
        ControlPlane(tmp_path / "no-kubeconfig").objects("pods", NAMESPACE)

"""Pods spread over nodes, and more of them start with more to do, where PostgreSQL lets them share it."""

from __future__ import annotations

import kubernetes_validate
import pytest

from services.chassis.telemetry import Telemetry
from tests.charts.tools import CHART, DEPLOYABLES, helm, of_kind, pod_specs, profile_values, render

POSTGRES = ("--set", "database.existingSecret=databases,artifacts.url=s3://bucket/drillyard")
PROMETHEUS = "autoscaling.prometheusUrl=http://prometheus:9090"


def scaled(service: str, *settings: str) -> tuple[str, ...]:
    return (*POSTGRES, "--set", ",".join(f"services.{service}.autoscaling.{setting}" for setting in settings))


def test_a_number_of_pods_that_follows_their_cpu_is_not_the_charts() -> None:
    manifests = render(*scaled("test-runner", "minReplicas=2", "maxReplicas=5", "cpuPercent=80"))
    (scaler,) = of_kind(manifests, "HorizontalPodAutoscaler").values()
    kubernetes_validate.validate(scaler, "1.37", strict=True)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "dy-test-runner"}
    assert scaler["spec"]["scaleTargetRef"] == target
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 5)
    deployments = of_kind(manifests, "Deployment")
    assert {name for name, one in deployments.items() if "replicas" not in one["spec"]} == {"dy-test-runner"}


def test_a_number_of_pods_follows_the_age_of_the_oldest_job_that_waits() -> None:
    manifests = render(*scaled("evaluator", "maxReplicas=3", "queueAgeSeconds=60"), "--set", PROMETHEUS)
    (scaler,) = of_kind(manifests, "ScaledObject").values()
    (trigger,) = scaler["spec"]["triggers"]
    series = "drillyard_jobs_queue_age_seconds"
    assert trigger["metadata"] == {
        "serverAddress": "http://prometheus:9090",
        "query": f'max({series}{{namespace="drilling", job="evaluator"}})',
        "threshold": "60",
    }
    assert series in {metric.name for metric in Telemetry().registry.collect()}
    assert "replicas" not in of_kind(manifests, "Deployment")["dy-evaluator"]["spec"]


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        (scaled("evaluator", "maxReplicas=3", "cpuPercent=80")[2:], "but SQLite allows one replica"),
        (scaled("trainer", "maxReplicas=3", "cpuPercent=80"), "only test-runner, evaluator and feedback share"),
        (scaled("evaluator", "maxReplicas=3"), "needs one of cpuPercent and queueAgeSeconds"),
        (scaled("evaluator", "minReplicas=4", "maxReplicas=3", "cpuPercent=80"), "less than the least number"),
        (scaled("evaluator", "maxReplicas=3", "queueAgeSeconds=9"), "Set autoscaling.prometheusUrl"),
    ],
)
def test_a_number_that_nothing_could_set_is_refused(values: tuple[str, ...], refusal: str) -> None:
    answer = helm("template", "dy", str(CHART), *values)
    assert answer.returncode != 0
    assert refusal in answer.stderr


def test_pods_of_one_kind_spread_over_nodes_and_zones() -> None:
    for name, pod in pod_specs(render(*profile_values("postgres-s3"))).items():
        constraints = pod["topologySpreadConstraints"]
        assert [item["topologyKey"] for item in constraints] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for item in constraints:
            assert item["labelSelector"]["matchLabels"]["app.kubernetes.io/name"] == name.removeprefix("dy-")
            assert item["whenUnsatisfiable"] == "ScheduleAnyway"
    none = pod_specs(render(*POSTGRES, "--set", "topologySpread.keys=null"))
    assert "topologySpreadConstraints" not in none["dy-evaluator"]
    # The pods of one ReadWriteOnce volume stand on one node.
    assert "topologySpreadConstraints" not in pod_specs(render())["dy-evaluator"]


def test_a_budget_lets_one_pod_of_each_kind_go_at_once() -> None:
    budgets = of_kind(render(*profile_values("postgres-s3")), "PodDisruptionBudget")
    assert set(budgets) == {f"dy-{name}" for name in DEPLOYABLES}
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] == name.removeprefix("dy-")

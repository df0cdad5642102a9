"""The chart renders valid objects for every profile, and refuses values that cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.charts.tools import (
    CHART,
    DEPLOYABLES,
    PROFILES,
    SERVICES,
    helm,
    of_kind,
    pod_specs,
    profile_values,
    render,
)

SCHEMA_VERSION = "1.37"
MONITORING_KINDS = {"ServiceMonitor", "PrometheusRule"}
CUSTOM_KINDS = MONITORING_KINDS | {"Certificate", "HTTPRoute", "ScaledObject"}
MAX_TEMPLATE_LINES = 120


def refusal(*arguments: str) -> str:
    answer = helm("template", "dy", str(CHART), *arguments)
    assert answer.returncode != 0, "the values were accepted"
    return answer.stderr


def test_there_is_a_profile_for_each_way_to_install() -> None:
    assert {"default-sqlite", "postgres-s3", "gpu", "kuberay", "minimal-1.20", "team"} <= set(PROFILES)


def test_the_values_of_a_release_that_knew_less_are_enough() -> None:
    # As `helm upgrade --reuse-values` hands them over.
    later = ("tls", "ingress", "httpRoute", "topologySpread", "autoscaling", "smokeTest")
    rendered = render("--set", ",".join(f"{key}=null" for key in later))
    assert {f"dy-{name}" for name in DEPLOYABLES} == set(of_kind(rendered, "Deployment"))


@pytest.mark.parametrize("profile", PROFILES)
def test_helm_lint_is_content_with_every_profile(profile: str) -> None:
    answer = helm("lint", "--strict", str(CHART), *profile_values(profile))
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("profile", PROFILES)
def test_every_object_matches_the_schema_of_todays_kubernetes(profile: str) -> None:
    manifests = render(*profile_values(profile))
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(manifest, SCHEMA_VERSION, strict=True)
    assert {f"dy-{name}" for name in DEPLOYABLES} == set(of_kind(manifests, "Deployment"))


def test_the_schema_check_sees_a_wrong_field() -> None:
    manifest = next(iter(of_kind(render(), "Deployment").values()))
    manifest["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, SCHEMA_VERSION, strict=True)


@pytest.mark.parametrize("probe", ["grpc", "tcp", "none"])
def test_probes_can_be_switched(probe: str) -> None:
    containers = [
        manifest["spec"]["template"]["spec"]["containers"][0]
        for name, manifest in of_kind(render("--set", f"probes.type={probe}"), "Deployment").items()
        if name != "dy-gateway"
    ]
    actions = {next(iter(set(c.get("livenessProbe", {})) & {"grpc", "tcpSocket"}), "none") for c in containers}
    assert actions == {{"grpc": "grpc", "tcp": "tcpSocket", "none": "none"}[probe]}


@pytest.mark.parametrize("service", SERVICES)
def test_sqlite_with_two_replicas_is_refused(service: str) -> None:
    message = refusal("--set", f"services.{service}.replicas=2")
    assert f"services.{service}.replicas is 2, but SQLite allows one replica" in message


def test_sqlite_replaces_its_pod_instead_of_running_two() -> None:
    strategies = {m["spec"]["strategy"]["type"] for m in of_kind(render(), "Deployment").values()}
    assert strategies == {"Recreate"}


def strategy_of(service: str, *sets: str) -> Any:
    elsewhere = ("--set", "database.existingSecret=databases,artifacts.url=s3://bucket/drillyard")
    values = (argument for one in sets for argument in ("--set", one))
    return of_kind(render(*elsewhere, *values), "Deployment")[f"dy-{service}"]["spec"]["strategy"]


def resource(name: str) -> str:
    return name.replace(".", "\\.")


@pytest.mark.parametrize("part", ["limits", "requests"])
@pytest.mark.parametrize(
    "device",
    [
        "nvidia.com/gpu",
        "nvidia.com/mig-1g.10gb",
        "amd.com/gpu",
        "gpu.intel.com/i915",
        "aws.amazon.com/neuron",
        "google.com/tpu",
    ],
)
def test_a_pod_with_a_device_ends_before_its_successor_starts(device: str, part: str) -> None:
    asked = f"services.trainer.resources.{part}.{resource(device)}=1"
    waits = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert strategy_of("trainer", asked) == waits
    assert strategy_of("evaluator", asked)["rollingUpdate"]["maxSurge"] == "25%"


def test_a_claim_of_a_device_is_one_too() -> None:
    claim = (
        "services.trainer.resourceClaims[0].name=gpu,services.trainer.resourceClaims[0].resourceClaimTemplateName=one"
    )
    assert strategy_of("trainer", claim)["rollingUpdate"]["maxSurge"] == 0
    named = ("--set", f"{claim},services.trainer.resources.claims[0].name=gpu")
    deployment = of_kind(render(*named), "Deployment")["dy-trainer"]
    kubernetes_validate.validate(deployment, SCHEMA_VERSION, strict=True)
    assert deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["claims"] == [{"name": "gpu"}]


@pytest.mark.parametrize(
    "asked",
    [
        "limits.cpu=4",
        "limits.hugepages-2Mi=64Mi",
        "limits.ephemeral-storage=1Gi",
        r"limits.nvidia\.com/gpu=0",
        r"limits.nvidia\.com/gpu=null",
    ],
)
def test_a_pod_without_a_device_rolls(asked: str) -> None:
    assert strategy_of("trainer", f"services.trainer.resources.{asked}")["rollingUpdate"]["maxSurge"] == "25%"


def test_values_choose_another_strategy() -> None:
    gpu = r"services.trainer.resources.limits.nvidia\.com/gpu=1"
    surge = strategy_of("trainer", gpu, "services.trainer.strategy.rollingUpdate.maxSurge=1")
    assert surge["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 1}
    assert strategy_of("trainer", "services.trainer.strategy.type=Recreate") == {"type": "Recreate"}
    assert "SQLite allows one process" in refusal("--set", "services.trainer.strategy.type=RollingUpdate")
    beside = "database.existingSecret=x,services.trainer.strategy.type=Recreate,"
    assert "beside Recreate" in refusal("--set", f"{beside}services.trainer.strategy.rollingUpdate.maxSurge=1")


def test_the_profile_with_a_gpu_takes_one_for_test_runner_alone() -> None:
    pods = pod_specs(render(*profile_values("gpu")))
    assert {name for name, spec in pods.items() if "nvidia.com/gpu" in str(spec["containers"][0])} == {"dy-test-runner"}


OPTIONAL = (
    *("replicas", "image", "env", "env.TRAINER_LOG_LEVEL", "resources", "resources.limits", "resources.limits.memory"),
    *(r"resources.limits.nvidia\.com/gpu", "resourceClaims", "sharedMemory", "nodeSelector", "nodeSelector.disk"),
    *("tolerations", "runtimeClassName", "strategy", "strategy.type", "strategy.rollingUpdate.maxSurge"),
)


@pytest.mark.parametrize("key", OPTIONAL)
def test_null_takes_a_value_of_a_service_back(key: str) -> None:
    deployment = of_kind(render("--set", f"services.trainer.{key}=null"), "Deployment")["dy-trainer"]
    kubernetes_validate.validate(deployment, SCHEMA_VERSION, strict=True)
    assert "null" not in json.dumps(deployment)
    assert '""' not in json.dumps(deployment["spec"]["template"]["spec"]["containers"][0]["env"])


@pytest.mark.parametrize(
    "key",
    [
        *("image.registry", "image.tag", "image.pullPolicy", "image.pullSecrets", "database.existingSecret"),
        *(
            "artifacts.url",
            "artifacts.existingSecret",
            "endpoints.existingSecret",
            "endpoints.hosts",
            "endpoints.egress",
        ),
        *("storage.size", "storage.storageClassName", "storage.accessMode", "storage.existingClaim"),
        *("logs.format", "logs.level", "probes.type", "monitoring.dashboards.label", "monitoring.dashboards.folder"),
    ],
)
def test_null_means_what_the_chart_comes_with(key: str) -> None:
    # A token that is made would differ each time.
    token = ("--set", "serviceToken.existingSecret=token")
    assert render(*token, "--set", f"{key}=null") == render(*token)


@pytest.mark.parametrize(
    "typo",
    [
        "imagee.tag=1",
        "image.pullPolicy=Sometimes",
        "database.existingSecrett=x",
        "database.existingSecret=Not_A_Name",
        "artifacts.url=s3://key:secret@bucket/x",
        "endpoints.existingSecrett=x",
        "endpoints.existingSecret=Not_A_Name",
        "endpoints.hosts={https://models.example.com}",
        "endpoints.hosts={models.example.com:443}",
        "endpoints.egress[0].cidr=203.0.113.0/24",
        "endpoints.egress[0].cidr=everywhere,endpoints.egress[0].ports={443}",
        "endpoints.egress[0].namespace=a,endpoints.egress[0].cidr=10.0.0.0/8,endpoints.egress[0].ports={443}",
        "endpoints.egress[0].namespace=serving,endpoints.egress[0].ports={0}",
        "storage.size=plenty",
        "storage.accessMode=ReadWrite",
        "logs.level=loud",
        "probes.type=http",
        "networkPolicy.enable=true",
        "monitoring.rule.enabled=true",
        "services.trainr.replicas=1",
        "services.trainer.replica=1",
        "services.trainer.replicas=-1",
        "services.trainer.strategy.type=Rolling",
        "services.trainer.strategy.maxSurge=1",
        "services.trainer.strategy.rollingUpdate.maxSurge=some",
        "services.trainer.resources.limit.memory=1Gi",
        "services.trainer.env.lower_case=1",
        "services.trainer.env.TRAINER_DATABASE_URL=postgresql://u:p@h/d",
        "services.trainer.env.AWS_SECRET_ACCESS_KEY=x",
        "services.test-runner.env.TEST_RUNNER_SECRET_BIG=x",
        "services.test-runner.env.OPENAI_API_KEY=x",
    ],
)
def test_the_schema_refuses_a_wrong_value(typo: str) -> None:
    message = refusal("--set", typo)
    assert "don't meet the specifications of the schema" in message
    assert any(part in message for part in typo.split("=", maxsplit=1)[0].replace("[0]", "").split(".")[-2:])


def test_monitors_and_rules_need_a_cluster_that_knows_them() -> None:
    switches = ("--set", "monitoring.serviceMonitor.enabled=true,monitoring.rules.enabled=true")
    assert {manifest["kind"] for manifest in render(*switches)} >= MONITORING_KINDS
    unaware = helm("template", "dy", str(CHART), *switches)
    assert unaware.returncode == 0
    assert "ServiceMonitor" not in unaware.stdout


def test_policies_budgets_and_dashboards_can_be_switched_off() -> None:
    off = "networkPolicy.enabled=false,monitoring.dashboards.enabled=false"
    assert not {"NetworkPolicy", "ConfigMap", "PodDisruptionBudget"} & {m["kind"] for m in render("--set", off)}
    budgets = of_kind(render("--set", "podDisruptionBudget.enabled=true"), "PodDisruptionBudget")
    assert len(budgets) == len(DEPLOYABLES)


def test_an_old_cluster_is_not_refused_by_the_chart() -> None:
    assert "kubeVersion" not in (CHART / "Chart.yaml").read_text()
    answer = helm("template", "dy", str(CHART), "--kube-version", "1.20.0", *profile_values("minimal-1.20"))
    assert answer.returncode == 0, answer.stderr


def test_templates_are_short() -> None:
    lengths: dict[Path, int] = {
        path: len(path.read_text().splitlines()) for path in (CHART / "templates").rglob("*") if path.is_file()
    }
    assert {path.name: length for path, length in lengths.items() if length > MAX_TEMPLATE_LINES} == {}

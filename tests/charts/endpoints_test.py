"""What an operator says of served models reaches the test runner, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.test_runner.settings import TestRunnerSettings
from tests.charts.tools import (
    CHART,
    DEPLOYABLES,
    Manifest,
    environment_of,
    helm,
    of_kind,
    pod_specs,
    profile_values,
    render,
)

KEYS = ("--set", "endpoints.existingSecret=keys")
HOSTS = ("--set", "endpoints.hosts={models.example.com,::1}")
EGRESS = (
    "--set",
    "endpoints.egress[0].cidr=203.0.113.0/24,endpoints.egress[0].ports={443,8443},"
    "endpoints.egress[1].namespace=serving,endpoints.egress[1].ports={8000}",
)


def runner_pod(manifests: list[Manifest]) -> Manifest:
    return pod_specs(manifests)["dy-test-runner"]


def read_by_its_settings(environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> TestRunnerSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return TestRunnerSettings()


def test_without_values_no_key_is_mounted_and_every_host_may_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = runner_pod(render())
    assert [volume["name"] for volume in pod["volumes"] if "secret" in volume] == ["service-token"]
    settings = read_by_its_settings(environment_of(pod), monkeypatch)
    assert (settings.secrets_dir, settings.endpoint_hosts) == (None, ())


def test_keys_are_files_that_the_test_runner_reads_but_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = runner_pod(render(*KEYS))
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "endpoint-keys"]
    assert volume["secret"] == {"secretName": "keys", "defaultMode": 0o440}
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
    # A file that is mounted by subPath would keep a key that was replaced.
    assert mount == {"name": volume["name"], "mountPath": mount["mountPath"], "readOnly": True}
    settings = read_by_its_settings(environment_of(pod), monkeypatch)
    assert settings.secrets_dir == Path(mount["mountPath"])
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_keys_reach_no_other_pod() -> None:
    pods = pod_specs(render(*KEYS))
    holders = {name for name, pod in pods.items() if "keys" in str(pod)}
    assert holders == {"dy-test-runner"}


def test_allowed_hosts_are_written_as_the_settings_read_them(monkeypatch: pytest.MonkeyPatch) -> None:
    values = (*HOSTS, "--set", "endpoints.keyHosts.big-model={models.example.com}")
    settings = read_by_its_settings(environment_of(runner_pod(render(*values))), monkeypatch)
    assert settings.endpoint_hosts == ("models.example.com", "::1")
    assert settings.endpoint_key_hosts == {"big-model": ("models.example.com",)}


@pytest.mark.parametrize("values", [(), KEYS, HOSTS])
def test_without_a_list_no_policy_limits_what_a_pod_reaches(values: tuple[str, ...]) -> None:
    policies = of_kind(render(*values), "NetworkPolicy")
    assert {str(policy["spec"]["policyTypes"]) for policy in policies.values()} == {"['Ingress']"}
    assert not any("egress" in policy["spec"] for policy in policies.values())


def test_with_a_list_the_test_runner_reaches_that_and_dns_and_the_registry() -> None:
    specs = {name: policy["spec"] for name, policy in of_kind(render(*EGRESS), "NetworkPolicy").items()}
    assert [name for name, spec in specs.items() if "Egress" in spec["policyTypes"]] == ["dy-test-runner"]
    registry = {"app.kubernetes.io/name": "registry", "app.kubernetes.io/instance": "dy"}
    namespace = {"kubernetes.io/metadata.name": "serving"}
    assert specs["dy-test-runner"]["egress"] == [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": tcp(50051), "to": [{"podSelector": {"matchLabels": registry}}]},
        {"ports": tcp(443, 8443), "to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]},
        {"ports": tcp(8000), "to": [{"namespaceSelector": {"matchLabels": namespace}}]},
    ]
    labels = of_kind(render(*EGRESS), "Deployment")["dy-registry"]["spec"]["template"]["metadata"]["labels"]
    assert registry.items() <= labels.items()


def tcp(*ports: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"} for port in ports]


def test_a_list_that_nothing_would_enforce_is_refused() -> None:
    answer = helm("template", "dy", str(CHART), *EGRESS, "--set", "networkPolicy.enabled=false")
    assert answer.returncode != 0
    assert "endpoints.egress is set, but networkPolicy.enabled is false" in answer.stderr


def notes(*arguments: str) -> str:
    answer = helm("install", "dy", str(CHART), "--dry-run=client", *arguments)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.partition("NOTES:")[2]


def test_the_notes_name_what_is_open_and_what_must_be_there() -> None:
    assert "may ask models served at any host" in notes()
    team = notes(*profile_values("postgres-s3"))
    assert "the secret drillyard-endpoint-keys" in team
    assert "the database and the artifact storage must be in it" in team
    assert "any host" not in team


def test_the_gateway_and_the_evaluator_reach_models_through_the_test_runner() -> None:
    policies = of_kind(render(), "NetworkPolicy")
    callers = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for rule in policies["dy-test-runner"]["spec"]["ingress"]
        for peer in rule.get("from", ())
    }
    assert {"gateway", "evaluator"} <= callers
    told = {name: environment_of(pod_specs(render())[f"dy-{name}"]) for name in DEPLOYABLES}
    assert told["evaluator"]["EVALUATOR_TEST_RUNNER_ADDRESS"] == "dy-test-runner:50051"
    assert told["gateway"]["GATEWAY_TEST_RUNNER_ADDRESS"] == "dy-test-runner:50051"

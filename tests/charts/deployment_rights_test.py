"""What the registry and the trainer may do in the cluster, and what they are told of it."""

from __future__ import annotations

import pytest

from services.chassis.machine.secrets import Secrets
from services.registry.settings import RegistrySettings
from services.test_runner.backends.openai_endpoint.policy import OperatorPolicy
from services.test_runner.settings import TestRunnerSettings
from services.trainer.settings import TrainerSettings
from tests.charts.tools import CHART, environment_of, helm, of_kind, pod_specs, profile_values, render

ON = ("--set", "deployments.enabled=true,deployments.vllmImage=vllm/vllm-openai:v0.18.0")


def test_without_deployments_no_pod_has_rights() -> None:
    manifests = render()
    assert of_kind(manifests, "Role") == of_kind(manifests, "RoleBinding") == {}
    assert not any(pod.get("automountServiceAccountToken") for pod in pod_specs(manifests).values())


def test_with_deployments_the_registry_alone_may_make_what_serves_and_nothing_else() -> None:
    manifests = render(*ON)
    (role,) = of_kind(manifests, "Role").values()
    assert {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]} == {
        *(("deployments", verb) for verb in ("get", "list", "create", "delete")),
        *(("services", verb) for verb in ("list", "create", "delete")),
        ("pods", "list"),
    }
    (binding,) = of_kind(manifests, "RoleBinding").values()
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "dy-registry", "namespace": "drilling"}]
    pods = pod_specs(manifests)
    assert [name for name, pod in pods.items() if pod.get("automountServiceAccountToken")] == ["dy-registry"]
    policy = of_kind(manifests, "NetworkPolicy")["dy-served-model"]["spec"]
    callers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in policy["ingress"][0]["from"]]
    assert callers == ["registry", "test-runner"]


@pytest.mark.parametrize(("profile", "claim"), [((), "dy-data"), (profile_values("postgres-s3"), "")])
def test_the_registry_is_told_where_weights_are(
    monkeypatch: pytest.MonkeyPatch, profile: tuple[str, ...], claim: str
) -> None:
    for name, value in environment_of(pod_specs(render(*profile, *ON))["dy-registry"]).items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    settings = RegistrySettings(token_file=None, host="127.0.0.1")
    assert (settings.kubernetes_namespace, settings.kubernetes_owner) == ("drilling", "dy-registry")
    assert settings.kubernetes_claim == claim
    assert bool(settings.kubernetes_fetch_image) is not bool(claim)
    assert settings.kubernetes_labels["app.kubernetes.io/instance"] == "dy"
    assert settings.vllm_image == "vllm/vllm-openai:v0.18.0"


def test_the_test_runner_trusts_what_is_served_in_its_namespace_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_of(pod_specs(render(*ON))["dy-test-runner"])
    monkeypatch.setenv("TEST_RUNNER_DEPLOYMENT_NAMESPACE", environment["TEST_RUNNER_DEPLOYMENT_NAMESPACE"])
    policy = OperatorPolicy(("models.example.com",), Secrets("TEST_RUNNER_", None))
    policy.trust_deployments(TestRunnerSettings().deployment_namespace)
    assert "drillyard-tiny-2-abc.drilling.svc" in policy.trusted_hosts
    assert "models.example.com" in policy.trusted_hosts
    assert "drillyard-tiny-2-abc.other.svc" not in policy.trusted_hosts
    assert "postgres.drilling.svc" not in policy.trusted_hosts


def test_with_training_in_the_cluster_the_trainer_alone_has_rights_and_its_attempts_reach_it() -> None:
    manifests = render(*profile_values("kuberay"))
    (role,), (binding,) = of_kind(manifests, "Role").values(), of_kind(manifests, "RoleBinding").values()
    assert {rule["resources"][0] for rule in role["rules"]} == {"rayjobs", "jobs", "pods", "pods/log", "events"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "dy-trainer", "namespace": "drilling"}]
    pods = pod_specs(manifests)
    assert [name for name, pod in pods.items() if pod.get("automountServiceAccountToken")] == ["dy-trainer"]
    policy = of_kind(manifests, "NetworkPolicy")["dy-trainer"]["spec"]
    peers = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in policy["ingress"][1]["from"]]
    assert "training" in peers


@pytest.mark.parametrize(
    ("profile", "claim"), [(profile_values("kuberay"), ""), (("--set", "training.backend=kubernetes"), "dy-data")]
)
def test_the_trainer_is_told_how_attempts_stand_in_the_cluster(
    monkeypatch: pytest.MonkeyPatch, profile: tuple[str, ...], claim: str
) -> None:
    environment = environment_of(pod_specs(render(*profile))["dy-trainer"])
    assert environment["TRAINER_REPORT_ADDRESS"] == "$(POD_IP):50051"
    # A variable is put in only where it stands behind its own.
    assert next(iter(environment)) == "POD_IP"
    for name in ("TRAINER_KUBERNETES", "TRAINER_MAX_RUNNING"):
        monkeypatch.setenv(name, environment[name])
    settings = TrainerSettings()
    pods = settings.kubernetes
    assert pods is not None
    assert (settings.max_running, pods.namespace, pods.token_secret) == (16, "drilling", "dy-service-token")
    assert (pods.claim, pods.labels["app.kubernetes.io/instance"]) == (claim, "dy")
    assert pods.image.startswith("drillyard/trainer:")
    if not claim:
        assert (pods.queue, pods.artifacts_secret, pods.runtime_class) == ("gpus", "drillyard-s3", "nvidia")
        assert pods.resources["limits"] == {"memory": "64Gi", "nvidia.com/gpu": "1"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("training.namespace=gpu",), "whose pods cannot mount the data volume. Set artifacts.url"),
        (("training.namespace=gpu", "artifacts.url=s3://drillyard/a"), "cannot read the service token. Make a secret"),
        (("training.rayVersion=2.51.0",), "training/rayVersion"),
    ],
)
def test_values_with_which_no_attempt_could_run_are_refused(values: tuple[str, ...], words: str) -> None:
    answer = helm("template", "dy", str(CHART), "--set", ",".join(("training.backend=kubernetes", *values)))
    assert answer.returncode != 0
    assert words in answer.stderr.replace("training.rayVersion", "training/rayVersion")

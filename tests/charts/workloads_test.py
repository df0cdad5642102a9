"""What the chart's pods may do, what they are told, and whom they reach."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from services.chassis.settings import ServiceSettings
from services.evaluator.settings import EvaluatorSettings
from services.feedback.settings import FeedbackSettings
from services.registry.settings import RegistrySettings
from services.smoke import NAME, SmokeSettings
from services.test_runner.settings import TestRunnerSettings
from services.trainer.settings import TrainerSettings
from tests.charts.tools import (
    CHART,
    DEPLOYABLES,
    PROFILES,
    SERVICES,
    Manifest,
    environment_of,
    helm,
    of_kind,
    pod_specs,
    profile_values,
    render,
)
from ui.gateway.settings import GatewaySettings

CALLS = {
    "registry": set[str](),
    "test-runner": {"registry"},
    "evaluator": {"registry", "test-runner"},
    "trainer": {"registry"},
    "feedback": {"registry", "test-runner", "evaluator", "trainer"},
    "gateway": {"registry", "test-runner", "evaluator", "trainer", "feedback"},
}
SETTINGS: dict[str, type[ServiceSettings] | type[GatewaySettings]] = {
    "registry": RegistrySettings,
    "test-runner": TestRunnerSettings,
    "evaluator": EvaluatorSettings,
    "trainer": TrainerSettings,
    "feedback": FeedbackSettings,
    "gateway": GatewaySettings,
}


EXISTING_TOKEN = ("--set", "serviceToken.existingSecret=mine")


def prefix_of(name: str) -> str:
    return name.upper().replace("-", "_") + "_"


def pod_of(manifests: list[Manifest], name: str) -> Manifest:
    return pod_specs(manifests)[f"dy-{name}"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_pod_obeys_the_restricted_pod_security_standard(profile: str) -> None:
    for name, spec in pod_specs(render(*profile_values(profile))).items():
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] == 10001, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, name
            assert rights["readOnlyRootFilesystem"] is True, name
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        volumes = {kind for volume in spec.get("volumes", ()) for kind in volume if kind != "name"}
        assert volumes <= {"emptyDir", "persistentVolumeClaim", "secret"}


@pytest.mark.parametrize("profile", PROFILES)
def test_no_pod_that_does_not_ask_the_cluster_gets_its_token(profile: str) -> None:
    manifests = render(*profile_values(profile))
    accounts = of_kind(manifests, "ServiceAccount")
    assert set(accounts) == {f"dy-{name}" for name in DEPLOYABLES}
    # Only a trainer whose attempts are pods of the cluster asks its API.
    asking = {"dy-trainer"} if profile == "kuberay" else set()
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    assert {name for name, spec in pod_specs(manifests).items() if spec["automountServiceAccountToken"]} == asking
    assert not {"ClusterRole", "ClusterRoleBinding"} & {manifest["kind"] for manifest in manifests}
    assert bool(asking) == ("Role" in {manifest["kind"] for manifest in manifests})


@pytest.mark.parametrize("profile", PROFILES)
def test_no_environment_name_stands_twice(profile: str) -> None:
    for name, spec in pod_specs(render(*profile_values(profile))).items():
        names = [entry["name"] for entry in spec["containers"][0].get("env", ())]
        assert len(names) == len(set(names)), name


def test_a_value_for_a_name_that_the_chart_sets_replaces_it() -> None:
    pod = pod_of(render("--set", "services.registry.env.REGISTRY_LOG_LEVEL=debug"), "registry")
    assert environment_of(pod)["REGISTRY_LOG_LEVEL"] == "debug"


@pytest.mark.parametrize("name", DEPLOYABLES)
@pytest.mark.parametrize("profile", PROFILES)
def test_a_pods_environment_is_what_its_settings_read(name: str, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_of(pod_of(render(*profile_values(profile)), name))
    known = {prefix_of(name) + field.upper() for field in SETTINGS[name].model_fields}
    # The address at which an attempt's pod reaches the trainer is made of the pod's own.
    assert set(environment) <= known | {"POD_IP"}
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value if isinstance(value, str) else "postgresql+psycopg://u@h/d")
    settings = SETTINGS[name]()
    assert settings.metrics_port == 9090
    assert str(settings.data_dir) == "/data"


def test_services_are_told_where_those_they_call_are() -> None:
    manifests = render()
    for name, called in CALLS.items():
        environment = environment_of(pod_of(manifests, name))
        addresses = {key: value for key, value in environment.items() if key.endswith("_ADDRESS")}
        expected = {f"{prefix_of(name)}{prefix_of(other)}ADDRESS": f"dy-{other}:50051" for other in called}
        assert addresses == expected, name
    assert all("50051" in json.dumps(of_kind(manifests, "Service")[f"dy-{name}"]) for name in SERVICES)


def test_network_policies_let_in_only_who_calls() -> None:
    policies = of_kind(render(), "NetworkPolicy")
    for name in SERVICES:
        rules = [rule for rule in policies[f"dy-{name}"]["spec"]["ingress"] if rule["ports"][0]["port"] == "grpc"]
        allowed = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for rule in rules for peer in rule["from"]
        }
        assert allowed == {caller for caller, called in CALLS.items() if name in called} | {name, "smoke"}
    assert policies["dy-gateway"]["spec"]["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]


def test_the_gateway_listens_inside_its_pod_only() -> None:
    manifests = render()
    assert "GATEWAY_HOST" not in environment_of(pod_of(manifests, "gateway"))
    assert [port["name"] for port in of_kind(manifests, "Service")["dy-gateway"]["spec"]["ports"]] == ["metrics"]


@pytest.mark.parametrize(("values", "secret"), [((), "dy-service-token"), (EXISTING_TOKEN, "mine")])
def test_every_pod_knows_the_token_of_the_release_by_a_file(values: tuple[str, ...], secret: str) -> None:
    manifests = render(*values)
    made = [manifest["data"]["token"] for manifest in of_kind(manifests, "Secret").values()]
    assert [len(base64.b64decode(token)) for token in made] == ([] if values else [43])
    for name in DEPLOYABLES:
        pod = pod_of(manifests, name)
        (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "service-token"]
        (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "service-token"]
        assert volume["secret"] == {"secretName": secret, "defaultMode": 0o440}
        assert environment_of(pod)[f"{prefix_of(name)}TOKEN_FILE"] == f"{mount['mountPath']}/token"


def test_images_named_by_digest_are_all_that_runs() -> None:
    digest = "sha256:" + "0" * 64
    images = {name: f"lab.example/drillyard/{name}@{digest}" for name in DEPLOYABLES}
    sets = [("--set", f"services.{name}.image={image}") for name, image in images.items()]
    specs = pod_specs(render(*(word for pair in sets for word in pair)))
    containers = [item for spec in specs.values() for item in (*spec.get("initContainers", ()), *spec["containers"])]
    assert {item["image"] for item in containers} == set(images.values())


def test_secrets_are_references_only() -> None:
    manifests = render(*profile_values("postgres-s3"))
    assert of_kind(manifests, "Secret") == {}
    for name in SERVICES:
        container = pod_of(manifests, name)["containers"][0]
        url = environment_of(pod_of(manifests, name))[f"{prefix_of(name)}DATABASE_URL"]
        assert url == {"secretKeyRef": {"name": "drillyard-databases", "key": name}}
        assert container["envFrom"] == [{"secretRef": {"name": "drillyard-s3"}}]
        assert not {"command", "args"} & set(container)
    # It stores uploads.
    gateway = pod_of(manifests, "gateway")["containers"][0]
    assert gateway["envFrom"] == [{"secretRef": {"name": "drillyard-s3"}}]


def volume_of(pod: Manifest) -> Any:
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    return next(volume for volume in pod["volumes"] if volume["name"] == mounts["/data"])


def test_pods_that_share_a_volume_of_one_node_stay_together() -> None:
    pods = [pod_of(render(), name) for name in DEPLOYABLES]
    assert all(volume_of(pod)["persistentVolumeClaim"] == {"claimName": "dy-data"} for pod in pods)
    terms = [pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0] for pod in pods]
    group = {"app.kubernetes.io/part-of": "drillyard", "app.kubernetes.io/instance": "dy"}
    assert all(term["labelSelector"]["matchLabels"] == group for term in terms)
    assert all(term["topologyKey"] == "kubernetes.io/hostname" for term in terms)
    labels = of_kind(render(), "Deployment")["dy-registry"]["spec"]["template"]["metadata"]["labels"]
    assert group.items() <= labels.items()


def test_pods_spread_where_the_volume_allows_it_or_there_is_none() -> None:
    shared = pod_of(render("--set", "storage.accessMode=ReadWriteMany,database.existingSecret=x"), "trainer")
    assert "affinity" not in shared
    alone = render(*profile_values("postgres-s3"))
    assert "affinity" not in pod_of(alone, "trainer")
    assert volume_of(pod_of(alone, "trainer"))["emptyDir"] == {}
    assert of_kind(alone, "PersistentVolumeClaim") == {}


def test_data_outlives_the_release() -> None:
    claim = of_kind(render(), "PersistentVolumeClaim")["dy-data"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert of_kind(render("--set", "storage.existingClaim=mine"), "PersistentVolumeClaim") == {}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_smoke_pod_reaches_every_service_and_the_artifacts_as_a_service_does(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pods = pod_specs(render(*profile_values(profile)))
    pod, registry = pods["dy-smoke"], pods["dy-registry"]
    environment = environment_of(pod)
    assert pod["containers"][0]["command"] == ["python", "-m", "services.smoke"]
    assert pod["containers"][0]["image"] == registry["containers"][0]["image"]
    assert {f"SMOKE_{field.upper()}" for field in SmokeSettings.model_fields} >= set(environment)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = SmokeSettings()
    assert {getattr(settings, f"{name.replace('-', '_')}_address") for name in SERVICES} == {
        f"dy-{name}:50051" for name in SERVICES
    }
    source = environment_of(registry).get("REGISTRY_ARTIFACT_SOURCES", '["file:///data/"]')
    assert settings.resolved_artifacts_url(NAME).startswith(json.loads(source)[0])
    assert pod["containers"][0].get("envFrom") == registry["containers"][0].get("envFrom")
    assert volume_of(pod).get("persistentVolumeClaim") == volume_of(registry).get("persistentVolumeClaim")
    assert pod.get("affinity") == registry.get("affinity")


def test_the_smoke_pod_can_do_without_the_loop() -> None:
    container = pod_of(render("--set", "smokeTest.loop=false"), "smoke")["containers"][0]
    assert container["command"] == ["python", "-m", "services.smoke", "--health-only"]
    # Without torch.
    assert container["image"] == "drillyard/feedback:0.1.0"


def test_a_gateway_listens_for_others_only_where_it_asks_for_a_login() -> None:
    login = (
        "--set",
        "authentication.existingSecret=login",
        "--set",
        "authentication.oidc.issuer=https://login.example",
    )
    roles = ("--set", "authentication.oidc.roles.ml=trainer")
    for arguments, host in ((), None), ((*login, *roles), "0.0.0.0"):
        manifests = render(*arguments)
        pod = of_kind(manifests, "Deployment")["dy-gateway"]["spec"]["template"]["spec"]
        variables = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        ports = {entry["name"] for entry in of_kind(manifests, "Service")["dy-gateway"]["spec"]["ports"]}
        ways_in = of_kind(manifests, "NetworkPolicy")["dy-gateway"]["spec"]["ingress"]
        assert variables.get("GATEWAY_HOST") == host
        assert variables.get("GATEWAY_AUTHENTICATION") == (host and "on")
        assert ("http" in ports) == bool(host)
        assert len(ways_in) == (2 if host else 1)
    assert json.loads(variables["GATEWAY_OIDC_ROLES"]) == {"ml": "trainer"}
    assert {"name": "authentication", "secret": {"secretName": "login", "defaultMode": 0o440}} in pod["volumes"]
    refused = helm("template", "dy", str(CHART), "--set", "authentication.oidc.roles.ml=king")
    assert "roles" in refused.stderr
    replicas = helm("template", "dy", str(CHART), *login, "--set", "services.gateway.replicas=2")
    assert "SQLite allows one replica" in replicas.stderr

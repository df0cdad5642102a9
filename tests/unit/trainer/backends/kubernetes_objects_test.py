"""What stands in the objects of an attempt, and that KubeRay takes them."""

from __future__ import annotations

import base64
import copy
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.trainer.backends.kubernetes_objects import TLS_FOLDER, TOKEN_FOLDER, TrainingPods, plain_job, ray_job
from services.trainer.domain.plan import AttemptPlan
from services.trainer.settings import TrainerSettings
from tests.unit.trainer.backends.kuberay_rules import Manifest, refusal_of
from tests.unit.trainer.job_bench import SPEC

JOB_ID = "train-0123456789abcdef"
PODS = TrainingPods(
    "drilling",
    "drillyard/trainer:1",
    labels={"app.kubernetes.io/instance": "dy"},
    resources={
        "requests": {"cpu": "500m"},
        "limits": {"memory": "1.5Gi", "nvidia.com/gpu": 1},
        "claims": [{"name": "gpu"}],
    },
    shared_memory="2Gi",
    node_selector={"gpu": "true"},
    tolerations=({"operator": "Exists"},),
    runtime_class="nvidia",
    resource_claims=({"name": "gpu", "resourceClaimTemplateName": "one"},),
    token_secret="dy-service-token",
    claim="dy-data",
)


def plan_of(num_workers: int = 2, *, attempt: int = 3, epoch: int = 7) -> AttemptPlan:
    return AttemptPlan(
        training_job_id=JOB_ID,
        attempt=attempt,
        epoch=epoch,
        report_address="10.0.0.1:50051",
        config_digest="sha256:0",
        spec=replace(SPEC, num_workers=num_workers),
        base_folder="s3://drillyard/registry/trees/ab/abc",
        adapter_folder="",
        dataset_file="s3://drillyard/registry/blobs/cd/cde",
        checkpoint_folder="/tmp/drillyard/checkpoints",
        resume_from="",
        scratch_folder="/tmp/drillyard",
        num_threads=0,
        artifacts_url="s3://drillyard/trainer",
    )


def test_a_ray_job_has_all_that_kuberay_and_the_attempt_need() -> None:
    made = ray_job(plan_of(), PODS)
    spec, cluster = made["spec"], made["spec"]["rayClusterSpec"]
    assert made["metadata"]["name"] == "train-0123456789abcdef-3-7"
    assert made["metadata"]["labels"] == {
        "app.kubernetes.io/instance": "dy",
        "app.kubernetes.io/name": "training",
        "app.kubernetes.io/managed-by": "drillyard-trainer",
        "drillyard.dev/training-job": JOB_ID,
        "drillyard.dev/attempt": "3",
        "drillyard.dev/epoch": "7",
    }
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["preRunningDeadlineSeconds"]) == (
        0,
        604800,
        86460,
    )
    assert cluster["authOptions"] == {"mode": "token"}
    (group,) = cluster["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (2, 2, 2)
    pod, (container,) = group["template"]["spec"], group["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"memory": "1.5Gi", "nvidia.com/gpu": "1"}
    assert container["resources"]["claims"] == [{"name": "gpu"}]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert (pod["runtimeClassName"], pod["nodeSelector"]) == ("nvidia", {"gpu": "true"})
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["resourceClaims"] == [{"name": "gpu", "resourceClaimTemplateName": "one"}]
    # The head directs, and takes no GPU.
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    assert not {"runtimeClassName", "resourceClaims"} & head["template"]["spec"].keys()
    # Everybody's labels find the pods, and nobody gets the cluster's token.
    for template in (head["template"], group["template"], spec["submitterPodTemplate"]):
        assert template["metadata"]["labels"] == made["metadata"]["labels"]
        assert template["spec"]["automountServiceAccountToken"] is False


def test_of_the_data_volume_pods_see_artifacts_alone_and_write_the_trainers_own() -> None:
    (group,) = ray_job(plan_of(), PODS)["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    mounts = [mount for mount in group["template"]["spec"]["containers"][0]["volumeMounts"] if mount["name"] == "data"]
    assert {mount["mountPath"]: (mount["subPath"], mount["readOnly"]) for mount in mounts} == {
        "/data/registry/artifacts": ("registry/artifacts", True),
        "/data/trainer/artifacts": ("trainer/artifacts", False),
    }


def test_every_pod_mounts_the_certificate_by_which_it_reports() -> None:
    made = ray_job(plan_of(), replace(PODS, tls_secret="dy-training-tls"))
    cluster = made["spec"]["rayClusterSpec"]
    templates = (cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"])
    for pod in [template["spec"] for template in templates]:
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        assert secrets == {"service-token": "dy-service-token", "tls": "dy-training-tls"}
        assert (mounts["service-token"], mounts["tls"]) == (TOKEN_FOLDER, TLS_FOLDER)


def test_every_pod_is_told_where_spans_go_and_no_key_to_that_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary")
    cluster = ray_job(plan_of(), PODS)["spec"]["rayClusterSpec"]
    for template in (cluster["headGroupSpec"]["template"], cluster["workerGroupSpecs"][0]["template"]):
        told = {entry["name"]: entry["value"] for entry in template["spec"]["containers"][0]["env"]}
        assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
        assert "OTEL_EXPORTER_OTLP_HEADERS" not in told


def test_the_plan_comes_whole_through_a_shell() -> None:
    *command, encoded = shlex.split(ray_job(plan_of(), PODS)["spec"]["entrypoint"])
    assert command == ["python", "-m", "services.trainer.training.processes.pod"]
    assert AttemptPlan.from_json(base64.urlsafe_b64decode(encoded).decode()) == plan_of()


def test_with_a_queue_both_kinds_begin_suspended_under_its_label() -> None:
    pods = replace(PODS, queue="gpus")
    for made in (ray_job(plan_of(), pods), plain_job(plan_of(), pods)):
        assert made["spec"]["suspend"] is True
        assert made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert ray_job(plan_of(), pods)["spec"]["shutdownAfterJobFinishes"] is True


def test_a_job_without_kuberay_has_room_for_all_workers_in_one_pod() -> None:
    made = plain_job(plan_of(3), PODS)
    pod = made["spec"]["template"]["spec"]
    resources = pod["containers"][0]["resources"]
    assert resources["requests"] == {"cpu": "1500m"}
    assert resources["limits"] == {"memory": "4.5Gi", "nvidia.com/gpu": "3"}
    assert resources["claims"] == [{"name": "gpu"}]
    assert {"medium": "Memory", "sizeLimit": "6Gi"} in [volume.get("emptyDir") for volume in pod["volumes"]]
    assert (made["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")


@pytest.mark.parametrize("pods", [PODS, replace(PODS, queue="gpus"), TrainingPods("drilling", "image")])
def test_kuberay_takes_every_form_of_our_ray_jobs(pods: TrainingPods) -> None:
    assert refusal_of(ray_job(plan_of(attempt=999, epoch=99999), pods)) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda spec: spec.pop("shutdownAfterJobFinishes"), "not allowed to be suspended"),
        (lambda spec: spec.update(deletionStrategy={"deletionRules": [{}]}), "mutually exclusive"),
        (lambda spec: spec["rayClusterSpec"].pop("rayVersion"), "RayVersion was not specified"),
        (lambda spec: spec["rayClusterSpec"].update(rayVersion="2.51.1"), "minimum Ray version is 2.52.0"),
        (
            lambda spec: spec["rayClusterSpec"]["authOptions"].update(enableK8sTokenAuth=True),
            "not supported for RayJob",
        ),
        (lambda spec: spec.update(submissionMode="SidecarMode"), "doesn't support SubmitterPodTemplate"),
        (lambda spec: spec.update(activeDeadlineSeconds=0), "must be a positive integer"),
    ],
)
def test_the_fake_of_kuberay_refuses_what_the_real_one_does(change: Callable[[Manifest], Any], words: str) -> None:
    made = copy.deepcopy(ray_job(plan_of(), replace(PODS, queue="gpus")))
    change(made["spec"])
    assert words in refusal_of(made)


def test_the_version_of_ray_is_the_one_that_is_installed() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[4] / "pyproject.toml").read_text())
    (pin,) = [line for line in project["project"]["optional-dependencies"]["ray"] if line.startswith("ray")]
    assert re.sub(r".*==", "", pin) == TrainingPods("", "").ray_version


def test_amounts_for_all_workers_are_exact() -> None:
    resources = {"limits": {"memory": "137438953473", "cpu": "1e3", "nvidia.com/gpu": 5}}
    job = plain_job(plan_of(2), replace(PODS, resources=resources))
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "274877906946", "cpu": "2000", "nvidia.com/gpu": "10"}


def test_an_ipv6_pod_is_reported_to_with_brackets() -> None:
    addresses = ("fd00::1:50051", "[fd00::1]:50051", "10.0.0.1:50051", "trainer:50051", "")
    values = [TrainerSettings(report_address=address).report_address for address in addresses]
    assert values == ["[fd00::1]:50051", "[fd00::1]:50051", "10.0.0.1:50051", "trainer:50051", ""]

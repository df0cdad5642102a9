"""A training job whose attempts run in pods: the trainer, the API server, the containers, Ray and training are real."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import training_job_pb2

from services.chassis.machine.kubernetes.client import KubernetesClient
from services.chassis.machine.parent import ServiceToken
from services.lm.tiny import write_tiny_model
from services.trainer.domain.plan import AttemptPlan
from tests.charts.cluster.control_plane import ControlPlane
from tests.charts.cluster.kubelet import Container, Kubelet
from tests.charts.tools import render
from tests.fakes.system.registry import TrainerRegistry, serve_registry
from tests.integration.processes import start_service
from tests.integration.trainer_kill_test import NUM_STEPS, Caller
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.training_bench import dataset_rows

pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.timeout(900)]
NAMESPACE, ACCOUNT, SECRET, CLAIM = "drilling", "dy-trainer", "dy-service-token", "dy-data"


@dataclass
class Ground:
    """A trainer whose attempts run on the node of a small kubelet."""

    kubelet: Kubelet
    caller: Caller
    registry: TrainerRegistry


@asynccontextmanager
async def ground(folder: Path, control_plane: ControlPlane) -> AsyncIterator[Ground]:
    control_plane.kubectl("delete", "crd", "rayjobs.ray.io", "--ignore-not-found")
    kubeconfig = control_plane.kubeconfig_of(ACCOUNT, NAMESPACE, render("--set", "training.backend=kubernetes"))
    token = folder / "token"
    token.write_text("a random text of this test\n")
    control_plane.kubectl("create", "secret", "generic", SECRET, f"--from-file=token={token}", "-n", NAMESPACE)
    write_tiny_model(folder / "tiny")
    pods = {"namespace": NAMESPACE, "image": "drillyard/trainer:1", "claim": CLAIM, "same_node": False}
    pods |= {"token_secret": SECRET, "data_folder": str(folder), "grace_seconds": 30}
    settings = {"kubernetes": json.dumps(pods), "kubernetes_config": kubeconfig, "token_file": token}
    home = control_plane.kubeconfig.parent
    client = KubernetesClient(NAMESPACE, control_plane.kubeconfig)
    kubelet = Kubelet(client, folder / "node", {CLAIM: folder}, (home / "server.crt", home / "server.key"))
    async with serve_registry(folder, folder / "tiny", dataset_rows(16)) as registry, kubelet:
        with start_service("trainer", folder, registry_address=registry.address, **settings) as service:
            caller = Caller(service, ServiceToken(token))
            try:
                yield Ground(kubelet, caller, registry)
            finally:
                await caller.channel.close()


def plan_of(container: Container) -> AttemptPlan:
    encoded = container.pod["spec"]["containers"][0]["command"][-1]
    return AttemptPlan.from_json(base64.urlsafe_b64decode(encoded).decode())


async def until_printed(attempt: Path, words: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while words not in printed(attempt):
            await asyncio.sleep(0.05)


def printed(attempt: Path) -> str:
    return "".join(file.read_text() for file in attempt.glob("*.log"))


async def test_a_job_in_pods_is_paused_goes_on_in_another_pod_and_registers_its_result(
    tmp_path: Path, control_plane: ControlPlane
) -> None:
    async with ground(tmp_path, control_plane) as place:
        caller, kubelet = place.caller, place.kubelet
        job_id = await caller.create()
        saved = await caller.checkpoint_above(job_id, 0)
        # It trains on while what it printed is read here.
        await until_printed(tmp_path / "trainer" / "attempts" / job_id / "attempt-001", "Started training worker group")
        await caller.stub.PauseTrainingJob(training_job_pb2.PauseTrainingJobRequest(training_job_id=job_id))
        async for response in caller.events(job_id):
            if response.event.state.state == job_pb2.JOB_STATE_PAUSED:
                break
        assert (control_plane.objects("jobs", NAMESPACE), await kubelet.pods()) == ([], [])
        await caller.stub.ResumeTrainingJob(training_job_pb2.ResumeTrainingJobRequest(training_job_id=job_id))
        states = [item.event.state.state async for item in caller.events(job_id)]
        job, steps = await caller.get(job_id), await caller.loss_steps(job_id)
        registered = await place.registry.trained()
        assert (control_plane.objects("jobs", NAMESPACE), await kubelet.pods()) == ([], [])
        plans = [plan_of(container) for container in kubelet.containers.values()]

    assert states[-1] == job_pb2.JOB_STATE_SUCCEEDED, job.job.error
    outcomes = [training_job_pb2.AttemptOutcome.Name(item.outcome) for item in job.attempts]
    assert [name.removeprefix("ATTEMPT_OUTCOME_") for name in outcomes] == ["STOPPED", "SUCCEEDED"]
    assert saved <= job.attempts[1].start_step < NUM_STEPS
    assert steps == list(range(1, NUM_STEPS + 1))
    assert [version.produced_by for version in registered] == [f"training_job:{job_id}"]
    assert job.model_version_id == "tiny@2"
    ours, inputs = ((tmp_path / name / "artifacts").as_uri() for name in ("trainer", "registry"))
    assert all(plan.base_folder.startswith(inputs) and plan.dataset_file.startswith(inputs) for plan in plans)
    assert [plan.resume_from.startswith(ours) for plan in plans] == [False, True]

"""Training jobs by RayJobs whose head, workers and submitter are pods that really run: Ray makes one cluster of them.

Skipped unless RAY_PACKAGES names a folder with what images have of Ray's dashboard: see `make rayjob`. The operator
alone is made up, by its public source. It takes minutes, and root for the pods' networks.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from drillyard.job.v1 import job_pb2
from drillyard.trainer.v1 import training_job_pb2, training_spec_pb2

from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from services.chassis.machine.parent import ServiceToken
from services.lm.tiny import write_tiny_model
from tests.charts.cluster.control_plane import ControlPlane
from tests.charts.cluster.kubelet import Kubelet
from tests.charts.cluster.kuberay import DEFINITION, Operator
from tests.charts.cluster.pod_network import NODE_ADDRESS, PodNetwork
from tests.charts.cluster.ray_pods import (
    DASHBOARD_PORT,
    NODE_TYPE,
    cluster_of,
    head_host,
    head_service,
    ray_pods,
    submitter,
    token_secret,
)
from tests.charts.tools import render
from tests.fakes.system.registry import TrainerRegistry, serve_registry
from tests.integration.processes import start_service
from tests.integration.trainer_kill_test import NUM_STEPS, SPEC, Caller
from tests.unit.trainer.training_bench import dataset_rows

PACKAGES = os.environ.get("RAY_PACKAGES", "")
pytestmark = [
    pytest.mark.skipif(not PACKAGES, reason="run `make rayjob`, as root"),
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.timeout(3600),
]
NAMESPACE, ACCOUNT, SECRET, CLAIM = "drilling", "dy-trainer", "dy-ray-token", "dy-data"
# A busy machine starts Ray slower than its processes wait for each other; a file of names stands for a cluster's DNS.
IMAGE = {
    "PYTHONPATH": PACKAGES,
    "RAY_gcs_server_request_timeout_seconds": "600",
    "RAY_worker_niceness": "0",
    "GRPC_DNS_RESOLVER": "native",
}
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class KubeRay(Operator):
    """The made-up operator, whose pods a kubelet starts: what becomes of a job is what Ray's own dashboard says."""

    def __init__(self, client: KubernetesClient, network: PodNetwork) -> None:
        super().__init__(client)
        self._network = network

    async def _make_pods(self, ray_job: Manifest) -> None:
        cluster = cluster_of(ray_job)
        await self.say(ray_job["metadata"]["name"], jobDeploymentStatus="Initializing", rayClusterName=cluster)
        await self._create("create_namespaced_secret", token_secret(ray_job))
        await self._create("create_namespaced_service", head_service(ray_job))
        for pod in ray_pods(ray_job):
            await self._create("create_namespaced_pod", pod)

    async def _start(self, ray_job: Manifest, pods: list[Manifest]) -> None:
        await self._mend(ray_job, pods)
        if any(pod["status"]["phase"] != "Running" for pod in pods):
            return
        name = ray_job["metadata"]["name"]
        job = submitter(ray_job, f"{name}-0")
        await self._client.call("BatchV1Api", "create_namespaced_job", NAMESPACE, job, absent=409)
        await self.say(name, jobDeploymentStatus="Running", jobStatus="PENDING")
        self._runs[ray_job["metadata"]["uid"]] = asyncio.create_task(self._followed(ray_job, f"{name}-0"))

    async def _mend(self, ray_job: Manifest, pods: list[Manifest]) -> None:
        """Make a head or a worker that did not come up anew."""
        for pod in pods:
            if pod["status"]["phase"] == "Failed" and "deletionTimestamp" not in pod["metadata"]:
                await self._remove([pod])
                another = next(item for item in ray_pods(ray_job) if _kind(item) == _kind(pod))
                await self._create("create_namespaced_pod", another)

    async def _create(self, method: str, body: Manifest) -> None:
        await self._client.call("CoreV1Api", method, NAMESPACE, body, absent=409)

    async def _followed(self, ray_job: Manifest, submission: str) -> str:
        """Say what the dashboard says, until the job has ended."""
        secret = await self._client.call("CoreV1Api", "read_namespaced_secret", cluster_of(ray_job), NAMESPACE)
        status, said = "PENDING", ""
        while status not in ENDED:
            await asyncio.sleep(1)
            own = {"ray.io/cluster": cluster_of(ray_job)}.items()
            await self._mend(ray_job, [pod for pod in await self.pods() if own <= pod["metadata"]["labels"].items()])
            status = await asyncio.to_thread(self._asked, ray_job, submission, (secret or {})["data"]["auth_token"])
            if status != said:
                await self.say(ray_job["metadata"]["name"], jobStatus=status)
            said = status
        return status

    def _asked(self, ray_job: Manifest, submission: str, token: str) -> str:
        host = self._network.address_of(head_host(ray_job))
        headers = {"Authorization": f"Bearer {base64.b64decode(token).decode()}"}
        request = urllib.request.Request(f"http://{host}:{DASHBOARD_PORT}/api/jobs/{submission}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(json.load(answer)["status"])
        except OSError:
            # It is not submitted yet, or the head is gone.
            return "PENDING"


def _kind(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"].get(NODE_TYPE, "submitter"))


@dataclass
class Ground:
    """A trainer whose attempts are RayJobs, and the node that runs their pods."""

    kubelet: Kubelet
    operator: KubeRay
    caller: Caller
    registry: TrainerRegistry


@asynccontextmanager
async def ground(folder: Path, control_plane: ControlPlane) -> AsyncIterator[Ground]:
    file = control_plane.kubeconfig.with_name("definition.json")
    file.write_text(json.dumps(DEFINITION))
    control_plane.kubectl("apply", "-f", str(file))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/rayjobs.ray.io")
    kubeconfig = control_plane.kubeconfig_of(ACCOUNT, NAMESPACE, render("--set", "training.backend=kubernetes"))
    token = folder / "token"
    token.write_text("a random text of this test\n")
    control_plane.kubectl("create", "secret", "generic", SECRET, f"--from-file=token={token}", "-n", NAMESPACE)
    write_tiny_model(folder / "tiny")
    pods = {"namespace": NAMESPACE, "image": "drillyard/trainer:1", "claim": CLAIM, "same_node": False}
    pods |= {"token_secret": SECRET, "data_folder": str(folder), "grace_seconds": 60}
    pods |= {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "4Gi"}}}
    settings = {"kubernetes": json.dumps(pods), "kubernetes_config": kubeconfig, "token_file": token}
    home = control_plane.kubeconfig.parent
    client = KubernetesClient(NAMESPACE, control_plane.kubeconfig)
    certificate = (home / "server.crt", home / "server.key")
    with PodNetwork(folder / "hosts") as network:
        kubelet = Kubelet(client, folder / "node", {CLAIM: folder}, certificate, network, IMAGE)
        operator = KubeRay(client, network)
        async with serve_registry(folder, folder / "tiny", dataset_rows(16)) as registry, kubelet, operator:
            with start_service(
                "trainer", folder, registry_address=registry.address, host=NODE_ADDRESS, max_running=2, **settings
            ) as service:
                caller = Caller(service, ServiceToken(token))
                try:
                    yield Ground(kubelet, operator, caller, registry)
                finally:
                    await caller.channel.close()


async def created(caller: Caller, **changes: object) -> str:
    spec = training_spec_pb2.TrainingJobSpec()
    spec.CopyFrom(SPEC)
    spec.MergeFrom(training_spec_pb2.TrainingJobSpec(**changes))  # type: ignore[arg-type]
    request = training_job_pb2.CreateTrainingJobRequest(request_id=f"by {spec.num_workers}", spec=spec)
    return (await caller.stub.CreateTrainingJob(request)).training_job.training_job_id


async def ended(caller: Caller, job_id: str) -> training_job_pb2.TrainingJob:
    async for _ in caller.events(job_id):
        pass
    return await caller.get(job_id)


def outcomes(job: training_job_pb2.TrainingJob) -> list[str]:
    names = [training_job_pb2.AttemptOutcome.Name(item.outcome) for item in job.attempts]
    return [name.removeprefix("ATTEMPT_OUTCOME_") for name in names]


async def test_a_ray_cluster_of_pods_trains_is_paused_and_goes_on_by_another_number_of_workers(
    tmp_path: Path, control_plane: ControlPlane
) -> None:
    async with ground(tmp_path, control_plane) as place:
        caller = place.caller
        job_id = await created(caller, num_workers=2)
        saved = await caller.checkpoint_above(job_id, 0)
        await caller.stub.PauseTrainingJob(training_job_pb2.PauseTrainingJobRequest(training_job_id=job_id))
        async for response in caller.events(job_id):
            if response.event.state.state == job_pb2.JOB_STATE_PAUSED:
                break
        assert (control_plane.objects("rayjobs", NAMESPACE), await place.kubelet.pods()) == ([], [])
        kinds = [
            item.pod["metadata"]["labels"].get(NODE_TYPE, "submitter") for item in place.kubelet.containers.values()
        ]
        fork = training_spec_pb2.CheckpointRef(training_job_id=job_id, step=saved)
        forked = await ended(caller, await created(caller, num_workers=1, fork=fork))
        await caller.stub.ResumeTrainingJob(training_job_pb2.ResumeTrainingJobRequest(training_job_id=job_id))
        job = await ended(caller, job_id)
        steps = await caller.loss_steps(job_id)
        registered = await place.registry.trained()

    assert kinds == {"head", "submitter", "worker"}
    assert (outcomes(job), outcomes(forked)) == (["STOPPED", "SUCCEEDED"], ["SUCCEEDED"]), job.job.error
    assert saved <= job.attempts[1].start_step < NUM_STEPS
    assert steps == list(range(1, NUM_STEPS + 1))
    assert len(registered) == 2

"""Attempts in a cluster: made, followed through whatever happens to them there, and taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, ResourceExhausted, ServiceError, Unavailable
from services.chassis.machine.kubernetes.client import GoneError, refusal
from services.trainer.backends.kubernetes_objects import TrainingPods, labels_of, name_of, plain_job, ray_job
from services.trainer.backends.ray_kubernetes import RayKubernetesBackend
from services.trainer.domain.attempt import PreemptedError
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.backends.fake_cluster import FakeCluster, Manifest
from tests.unit.trainer.backends.kubernetes_objects_test import JOB_ID, plan_of

PODS = TrainingPods("drilling", "drillyard/trainer:1")
PLAN = plan_of()
NAME = name_of(PLAN)
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
FORBIDDEN = (
    'rayjobs.ray.io is forbidden: User "system:serviceaccount:drilling:dy-trainer" cannot create resource "rayjobs" '
    'in API group "ray.io" in the namespace "drilling"'
)


@dataclass
class Scene:
    """An attempt that the cluster does, and the cluster."""

    cluster: FakeCluster
    backend: RayKubernetesBackend
    attempt: asyncio.Task[int]

    def says(self, **status: Any) -> None:
        """Let the operator change the status of the attempt's RayJob."""
        self.cluster.put("rayjobs", {**self.cluster.objects["rayjobs"][NAME], "status": status})

    def suspend(self) -> None:
        run = self.cluster.objects["rayjobs"][NAME]
        self.cluster.put("rayjobs", {**run, "spec": {**run["spec"], "suspend": True}})

    def pod(self, name: str = "worker-0", deletes: str | None = None, **status: Any) -> None:
        """Let the cluster have a pod of the attempt."""
        metadata = {"name": name, "labels": labels_of(PLAN, PODS), "deletionTimestamp": deletes}
        spec = {"containers": [{"name": "ray-worker"}, {"name": "istio-proxy"}]}
        self.cluster.put("pods", {"metadata": metadata, "spec": spec, "status": status})

    async def until(self, holds: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                assert not self.attempt.done() or self.attempt.exception() is None, self.attempt.exception()
                await asyncio.sleep(0.005)

    async def until_waits(self, words: str) -> None:
        await self.until(lambda: words in self.backend.wait_reason(JOB_ID))


@asynccontextmanager
async def attempt_in(
    folder: Path, cluster: FakeCluster | None = None, pods: TrainingPods = PODS
) -> AsyncIterator[Scene]:
    cluster = cluster or FakeCluster()
    backend = RayKubernetesBackend(folder, cluster, pods, artifacts_url="s3://drillyard/trainer", look_seconds=0.02)
    attempt = asyncio.create_task(backend.run(await backend.prepare(PLAN)))
    try:
        yield Scene(cluster, backend, attempt)
    finally:
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        await backend.close()
    assert cluster.objects["rayjobs"] == cluster.objects["jobs"] == {}


async def started(scene: Scene) -> None:
    await scene.until(lambda: NAME in scene.cluster.objects["rayjobs"])
    scene.pod(phase="Running")
    scene.says(**RUNNING)
    await scene.until(lambda: scene.backend.wait_reason(JOB_ID) == "")


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.trainer.backends.ray_kubernetes._LEAST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr("services.chassis.machine.kubernetes.mirror._PAUSE_SECONDS", 0.01)


async def test_an_attempt_runs_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        scene.says(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
        scene.cluster.drop("pods", "worker-0")
        assert await scene.attempt == 0
        assert scene.cluster.objects["rayjobs"] == {}


async def test_the_folder_that_pods_write_to_is_there_before_they_mount_it(tmp_path: Path) -> None:
    pods = replace(PODS, claim="dy-data", data_folder=str(tmp_path))
    await RayKubernetesBackend(tmp_path, FakeCluster(), pods, artifacts_url="").prepare(PLAN)
    assert (tmp_path / "trainer" / "artifacts").is_dir()


async def test_cancelled_it_returns_when_the_pods_are_gone(tmp_path: Path) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        scene.attempt.cancel()
        await scene.until(lambda: scene.cluster.objects["rayjobs"] == {})
        await asyncio.sleep(0.1)
        assert not scene.attempt.done()
        scene.cluster.drop("pods", "worker-0")
        await asyncio.gather(scene.attempt, return_exceptions=True)


async def suspended(scene: Scene) -> None:
    scene.suspend()
    await asyncio.sleep(0.1)
    # What still runs saves, and says so itself.
    assert not scene.attempt.done()
    scene.cluster.drop("pods", "worker-0")


async def evicted(scene: Scene) -> None:
    scene.pod(phase="Failed", reason="Evicted", message="The node was low on memory.")
    scene.says(jobDeploymentStatus="Failed", reason="AppFailed", message="exit code 1")


async def out_of_memory(scene: Scene) -> None:
    ended = {"name": "ray-worker", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}
    scene.cluster.logs["worker-0"] = "2026-11-29T10:00:00.000000001Z the last words\n"
    scene.pod(phase="Failed", containerStatuses=[ended])
    scene.says(jobDeploymentStatus="Failed", reason="AppFailed", message="exit code 137")


async def deleted_by_hand(scene: Scene) -> None:
    scene.cluster.drop("rayjobs", NAME)


async def killed(scene: Scene) -> None:
    ended = {"name": "ray-worker", "state": {"terminated": {"reason": "Error", "exitCode": 137}}}
    scene.pod(phase="Failed", containerStatuses=[ended])
    scene.says(jobDeploymentStatus="Failed", reason="AppFailed", message="the job failed")


async def broken(scene: Scene) -> None:
    scene.says(jobDeploymentStatus="Failed", reason="DeadlineExceeded", message="The RayJob has passed the deadline")


@pytest.mark.parametrize(
    ("happens", "error", "words"),
    [
        (suspended, PreemptedError, "The queue took the place of the attempt back"),
        (evicted, PreemptedError, "Evicted: The node was low on memory."),
        (out_of_memory, Unavailable, "OOMKilled: the container ray-worker took more memory than its limit"),
        (deleted_by_hand, Unavailable, f"{NAME} was deleted in the cluster by somebody else"),
        (killed, Unavailable, "AppFailed: the job failed; the container ray-worker ended with code 137."),
        (broken, Unavailable, "DeadlineExceeded: The RayJob has passed the deadline"),
    ],
)
async def test_what_ends_an_attempt_is_said(
    tmp_path: Path, happens: Callable[[Scene], Coroutine[Any, Any, None]], error: type[Exception], words: str
) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        await happens(scene)
        scene.attempt.add_done_callback(lambda _: None)
        await scene.until(lambda: NAME not in scene.cluster.objects["rayjobs"])
        scene.cluster.drop("pods", "worker-0")
        with pytest.raises(error, match=words):
            await scene.attempt


async def test_the_last_words_of_the_containers_are_kept(tmp_path: Path) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        await out_of_memory(scene)
        await scene.until(lambda: NAME not in scene.cluster.objects["rayjobs"])
        scene.cluster.drop("pods", "worker-0")
    assert (tmp_path / JOB_ID / "attempt-003" / "worker-0.log").read_text() == "the last words\n"


async def test_an_object_that_is_being_made_at_a_cancel_is_deleted(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.hold = asyncio.Event()
    async with attempt_in(tmp_path, cluster) as scene:
        await scene.until(lambda: "create_namespaced_custom_object" in cluster.calls)
        scene.attempt.cancel()
        await asyncio.sleep(0.05)
        cluster.hold.set()
        await asyncio.sleep(0.05)


async def test_what_an_attempt_waits_for_is_said_in_the_clusters_words(tmp_path: Path) -> None:
    async with attempt_in(tmp_path, pods=replace(PODS, queue="gpus")) as scene:
        await scene.until_waits("Queued: the RayJob is suspended until the queue 'gpus' admits it")
        run = scene.cluster.objects["rayjobs"][NAME]
        warning = {"reason": "FailedCreate", "message": "exceeded quota: few", "lastTimestamp": "2026-11-29T10:00:00Z"}
        scene.cluster.events = [warning]
        scene.cluster.put("rayjobs", {**run, "spec": {**run["spec"], "suspend": False}})
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        scene.pod(phase="Pending", conditions=[{**condition, "message": "0/3 nodes: Insufficient nvidia.com/gpu"}])
        await scene.until_waits("Unschedulable: 0/3 nodes: Insufficient nvidia.com/gpu")
        scene.pod(phase="Running")
        scene.says(**RUNNING)
        await scene.until(lambda: scene.backend.wait_reason(JOB_ID) == "")
        scene.cluster.drop("pods", "worker-0")


async def test_a_warning_of_the_cluster_explains_pods_that_are_not_made(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.events = [
        {"reason": "FailedToCreatePod", "message": "exceeded quota: few", "lastTimestamp": "2026-11-29T10:00:00Z"},
        {"reason": "Older", "message": "gone by", "lastTimestamp": "2026-11-29T09:00:00Z"},
    ]
    async with attempt_in(tmp_path, cluster) as scene:
        await scene.until_waits("FailedToCreatePod: exceeded quota: few")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]},
            "ImagePullBackOff: no such image Name an image that the nodes can pull in training.image",
        ),
        (
            {
                "containerStatuses": [
                    {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret"}}}
                ]
            },
            "CreateContainerConfigError: secret",
        ),
    ],
)
async def test_what_no_wait_mends_ends_the_job(tmp_path: Path, status: Manifest, words: str) -> None:
    async with attempt_in(tmp_path) as scene:
        await scene.until(lambda: NAME in scene.cluster.objects["rayjobs"])
        scene.pod(phase="Pending", **status)
        await scene.until(lambda: NAME not in scene.cluster.objects["rayjobs"])
        scene.cluster.drop("pods", "worker-0")
        with pytest.raises(FailedPrecondition) as raised:
            await scene.attempt
    assert words in str(raised.value)


async def test_pods_that_never_run_end_the_job_with_what_kept_them(tmp_path: Path) -> None:
    async with attempt_in(tmp_path, pods=replace(PODS, pre_running_deadline_seconds=0)) as scene:
        with pytest.raises(FailedPrecondition, match="did not run within 0 s: 0 pods were made"):
            await scene.attempt


async def test_a_missing_right_is_named_with_the_rule_that_gives_it(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.faults["create"] = [refusal(403, json.dumps({"message": FORBIDDEN}))]
    async with attempt_in(tmp_path, cluster) as scene:
        with pytest.raises(FailedPrecondition) as raised:
            await scene.attempt
    assert '{apiGroups: ["ray.io"], resources: ["rayjobs"], verbs: ["create"]} to the Role of' in str(raised.value)


async def test_a_quota_is_waited_for(tmp_path: Path) -> None:
    cluster = FakeCluster()
    error = refusal(403, '{"message": "exceeded quota: few, requested: count/rayjobs.ray.io=1"}')
    assert isinstance(error, ResourceExhausted)
    cluster.faults["create"] = [error]
    async with attempt_in(tmp_path, cluster) as scene:
        await scene.until_waits("exceeded quota: few")
        await started(scene)
        scene.cluster.drop("pods", "worker-0")


async def test_the_lost_answer_of_a_call_that_made_the_object_makes_no_second(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.put("rayjobs", ray_job(PLAN, PODS))
    async with attempt_in(tmp_path, cluster) as scene:
        await scene.until(lambda: "create_namespaced_custom_object" in cluster.calls)
        await started(scene)
        assert list(cluster.objects["rayjobs"]) == [NAME]
        scene.cluster.drop("pods", "worker-0")


@pytest.mark.parametrize(
    "faults", [[GoneError()], [Unavailable("The API does not answer.")], [RuntimeError("nobody expected this")] * 6]
)
async def test_a_watch_that_breaks_or_falls_silent_misses_nothing(tmp_path: Path, faults: list[Exception]) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        await scene.until(lambda: scene.cluster.watches["rayjobs"])
        scene.cluster.faults["watch"] = list(faults)
        silent = scene.cluster.watches["rayjobs"].pop()
        # Nobody is told of this change: the list that follows has it.
        old = scene.cluster.objects["rayjobs"][NAME]
        done = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
        scene.cluster.objects["rayjobs"][NAME] = {**old, "status": done}
        scene.cluster.drop("pods", "worker-0")
        silent.shutdown()
        assert await scene.attempt == 0


async def test_a_watch_that_says_410_lists_again(tmp_path: Path) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        lists = scene.cluster.calls.count("list_namespaced_custom_object")
        scene.cluster.tell("rayjobs", "ERROR", {"code": 410, "message": "too old resource version"})
        await scene.until(lambda: scene.cluster.calls.count("list_namespaced_custom_object") > lists)
        scene.cluster.drop("pods", "worker-0")


async def test_an_event_that_cannot_be_read_does_not_end_the_watching(tmp_path: Path) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        scene.cluster.tell("rayjobs", "MODIFIED", {"kind": "nobody expected this"})
        scene.says(jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
        scene.cluster.drop("pods", "worker-0")
        assert await scene.attempt == 0


async def test_what_a_trainer_that_lost_the_job_begins_late_is_deleted(tmp_path: Path) -> None:
    async with attempt_in(tmp_path) as scene:
        await started(scene)
        late = ray_job(plan_of(attempt=2, epoch=PLAN.epoch - 1), PODS)
        scene.cluster.put("rayjobs", late)
        await scene.until(lambda: late["metadata"]["name"] not in scene.cluster.objects["rayjobs"])
        assert NAME in scene.cluster.objects["rayjobs"]
        scene.cluster.drop("pods", "worker-0")


async def test_without_kuberay_a_job_does_the_same(tmp_path: Path) -> None:
    async with attempt_in(tmp_path, FakeCluster(has_kuberay=False)) as scene:
        await scene.until(lambda: NAME in scene.cluster.objects["jobs"])
        scene.pod(phase="Running")
        await scene.until(lambda: scene.backend.wait_reason(JOB_ID) == "")
        run = scene.cluster.objects["jobs"][NAME]
        scene.cluster.put("jobs", {**run, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})
        scene.cluster.drop("pods", "worker-0")
        assert await scene.attempt == 0


async def test_a_drained_job_saves_and_is_no_failure(tmp_path: Path) -> None:
    async with attempt_in(tmp_path, FakeCluster(has_kuberay=False)) as scene:
        await scene.until(lambda: NAME in scene.cluster.objects["jobs"])
        scene.pod(deletes="2999-01-01T00:00:00Z", phase="Running")
        failed = {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "DisruptionTarget"}
        run = scene.cluster.objects["jobs"][NAME]
        await asyncio.sleep(0.05)
        scene.cluster.put("jobs", {**run, "status": {"conditions": [failed]}})
        await asyncio.sleep(0.1)
        assert not scene.attempt.done()
        scene.cluster.drop("pods", "worker-0")
        with pytest.raises(PreemptedError, match="took the attempt's pod away"):
            await scene.attempt


async def test_a_warning_without_a_message_is_told(tmp_path: Path) -> None:
    cluster = FakeCluster()
    cluster.events = [{"reason": "FailedCreate"}]
    async with attempt_in(tmp_path, cluster) as scene:
        await scene.until_waits("FailedCreate")


async def test_what_earlier_attempts_left_of_either_kind_is_cleared(tmp_path: Path) -> None:
    cluster = FakeCluster()
    backend = RayKubernetesBackend(tmp_path, cluster, PODS, artifacts_url="")
    cluster.put("rayjobs", ray_job(PLAN, PODS))
    cluster.put("jobs", plain_job(plan_of(attempt=1), PODS))
    other = ray_job(replace(PLAN, training_job_id="train-fedcba9876543210"), PODS)
    cluster.put("rayjobs", other)
    assert await backend.clear(JOB_ID) == 2
    assert await backend.clear(JOB_ID) == 0
    assert list(cluster.objects["rayjobs"]) == [other["metadata"]["name"]]


async def test_a_cluster_that_is_away_is_an_outage_and_no_failure_of_the_job(tmp_path: Path) -> None:
    cluster = FakeCluster()
    away = Unavailable("The cluster's API does not answer: MaxRetryError.")
    cluster.faults = {"create": [away], "list": [away] * 4, "delete": [away]}
    async with attempt_in(tmp_path, cluster) as scene:
        await scene.until_waits("does not answer")
        await started(scene)
        scene.cluster.drop("pods", "worker-0")


def test_errors_of_the_api_are_outages_and_others_refusals() -> None:
    kinds: dict[int, type[ServiceError]] = {500: Unavailable, 429: Unavailable, 422: FailedPrecondition}
    assert {status: type(refusal(status, "no json")) for status in kinds} == kinds
    gone = refusal(404, json.dumps({"message": 'namespaces "drilling" not found'}))
    assert isinstance(gone, FailedPrecondition) and 'namespaces "drilling" not found' in gone.problem

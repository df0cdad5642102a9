"""Attempts at training jobs on a real API server, with the rights that the chart gives the trainer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from services.trainer.backends.kubernetes_objects import TrainingPods, name_of, ray_job
from services.trainer.backends.ray_kubernetes import RayKubernetesBackend
from services.trainer.domain.attempt import PreemptedError
from services.trainer.domain.plan import AttemptPlan
from tests.charts.cluster.control_plane import ControlPlane
from tests.charts.cluster.kuberay import DEFINITION, Operator
from tests.charts.tools import render
from tests.machine import PATIENCE_SECONDS
from tests.unit.trainer.backends.kubernetes_objects_test import JOB_ID, plan_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
NAMESPACE, ACCOUNT = "drilling", "dy-trainer"
PODS = TrainingPods(NAMESPACE, "drillyard/trainer:1", resources={"limits": {"memory": "1Gi"}}, grace_seconds=5)
PLAN = plan_of()
RIGHTS = {
    (ACCOUNT, NAMESPACE): {
        *(("ray.io", "rayjobs", verb) for verb in ("list", "watch", "create", "delete")),
        *(("batch", "jobs", verb) for verb in ("list", "watch", "create", "delete")),
        *(("", "pods", verb) for verb in ("list", "watch")),
        ("", "pods/log", "get"),
        ("", "events", "list"),
    },
    (ACCOUNT, "default"): set[tuple[str, str, str]](),
}
RESOURCES = (
    *(("ray.io", "rayjobs"), ("ray.io", "rayclusters"), ("batch", "jobs"), ("", "pods"), ("", "pods/log")),
    *(("", "events"), ("", "secrets"), ("", "pods/exec"), ("", "configmaps"), ("apps", "deployments")),
)
VERBS = ("get", "list", "watch", "create", "delete", "patch", "update", "deletecollection")


@pytest.fixture(autouse=True)
def warnings_are_read_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.trainer.backends.ray_kubernetes._EVENTS_SECONDS", 0.5)


@pytest.fixture(scope="module")
def kubeconfig(control_plane: ControlPlane) -> Path:
    file = control_plane.kubeconfig.with_name("definition.json")
    file.write_text(json.dumps(DEFINITION))
    control_plane.kubectl("apply", "-f", str(file))
    control_plane.kubectl("wait", "--for=condition=Established", "crd/rayjobs.ray.io")
    return control_plane.kubeconfig_of(ACCOUNT, NAMESPACE, render("--set", "training.backend=kubernetes"))


@dataclass
class Ground:
    """Trainers and an operator on one cluster."""

    folder: Path
    kubeconfig: Path
    operator: Operator

    @asynccontextmanager
    async def trainer(
        self, pods: TrainingPods = PODS, client: KubernetesClient | None = None
    ) -> AsyncIterator[RayKubernetesBackend]:
        client = client or KubernetesClient(NAMESPACE, self.kubeconfig)
        backend = RayKubernetesBackend(
            self.folder, client, pods, artifacts_url="s3://drillyard/trainer", look_seconds=0.2
        )
        try:
            yield backend
        finally:
            await backend.close()

    async def until(self, holds: Callable[[], Awaitable[bool] | bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                assert self.operator.fault is None, self.operator.fault
                answer = holds()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await asyncio.sleep(0.05)

    async def until_nothing_is_left(self) -> None:
        async def is_empty() -> bool:
            return not (await self.operator.ray_jobs() or await self.operator.pods())

        await self.until(is_empty)


@asynccontextmanager
async def ground(
    tmp_path: Path,
    control_plane: ControlPlane,
    kubeconfig: Path,
    on_run: Callable[[Manifest], Awaitable[str]] | None = None,
) -> AsyncIterator[Ground]:
    async with Operator(KubernetesClient(NAMESPACE, control_plane.kubeconfig), on_run) as operator:
        yield Ground(tmp_path, kubeconfig, operator)


async def begun(backend: RayKubernetesBackend, plan: AttemptPlan = PLAN) -> asyncio.Task[int]:
    attempt = asyncio.create_task(backend.run(await backend.prepare(plan)))
    await asyncio.sleep(0)
    return attempt


def runs(backend: RayKubernetesBackend) -> Callable[[], bool]:
    return lambda: not backend.wait_reason(JOB_ID)


def waits(backend: RayKubernetesBackend, words: str) -> Callable[[], bool]:
    return lambda: words in backend.wait_reason(JOB_ID)


@pytest.mark.usefixtures("kubeconfig")
def test_the_trainers_account_can_do_what_it_needs_and_nothing_else(control_plane: ControlPlane) -> None:
    assert control_plane.rights(RIGHTS, RESOURCES, VERBS, NAMESPACE) == RIGHTS


async def test_an_attempt_is_done_by_a_ray_job_that_the_cluster_stores_whole(
    tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path
) -> None:
    ends = asyncio.Event()

    async def run(_: Manifest) -> str:
        await ends.wait()
        return "SUCCEEDED"

    async with ground(tmp_path, control_plane, kubeconfig, run) as place, place.trainer() as backend:
        attempt = await begun(backend)
        await place.until(runs(backend))
        (made,) = await place.operator.ray_jobs()
        assert made["spec"] == ray_job(await backend.prepare(PLAN), PODS)["spec"]
        assert len(await place.operator.pods()) == 1 + PLAN.spec.num_workers
        ends.set()
        assert await attempt == 0
        await place.until_nothing_is_left()


async def test_a_place_that_the_queue_takes_back_is_a_preemption_and_a_deletion_by_hand_is_none(
    tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path
) -> None:
    async with (
        ground(tmp_path, control_plane, kubeconfig) as place,
        place.trainer(replace(PODS, queue="gpus")) as backend,
    ):
        attempt = await begun(backend)
        await place.until(waits(backend, "suspended until the queue 'gpus' admits it"))
        await place.operator.suspend(name_of(PLAN), suspend=False)
        await place.until(runs(backend))
        await place.operator.suspend(name_of(PLAN), suspend=True)
        with pytest.raises(PreemptedError):
            await attempt
        attempt = await begun(backend, replace(PLAN, attempt=4))
        await place.until(waits(backend, "Queued"))
        control_plane.kubectl("delete", "rayjobs", "--all", "-n", NAMESPACE)
        with pytest.raises(Unavailable, match="was deleted in the cluster by somebody else"):
            await attempt
        await place.until_nothing_is_left()


async def test_a_quota_is_quoted_and_waited_for(tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path) -> None:
    control_plane.kubectl("create", "quota", "few", "--hard=pods=0", "-n", NAMESPACE)
    # Before its controller has counted, it does not hold.
    control_plane.kubectl("wait", "--for=jsonpath={.status.hard.pods}=0", "quota/few", "-n", NAMESPACE)
    async with ground(tmp_path, control_plane, kubeconfig) as place, place.trainer() as backend:
        attempt = await begun(backend)
        try:
            await place.until(waits(backend, "exceeded quota: few"))
        finally:
            control_plane.kubectl("delete", "quota", "few", "-n", NAMESPACE)
        await place.until(runs(backend))
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
        await place.until_nothing_is_left()


async def test_what_kuberay_refuses_is_the_jobs_reason(
    tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path
) -> None:
    async with (
        ground(tmp_path, control_plane, kubeconfig) as place,
        place.trainer(replace(PODS, ray_version="2.51.0")) as backend,
    ):
        attempt = await begun(backend)
        with pytest.raises(FailedPrecondition, match=r"KubeRay refuses the RayJob: .*minimum Ray version is 2\.52\.0"):
            await attempt
        await place.until_nothing_is_left()


async def test_of_two_trainers_the_later_holder_keeps_the_job_and_a_restarted_one_clears_it(
    tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path
) -> None:
    async with (
        ground(tmp_path, control_plane, kubeconfig) as place,
        place.trainer() as frozen,
        place.trainer() as holder,
        place.trainer() as restarted,
    ):
        held = replace(PLAN, attempt=4, epoch=PLAN.epoch + 1)
        attempt = await begun(holder, held)
        await place.until(runs(holder))
        # It was frozen just before it made its object, and wakes up.
        late = await begun(frozen)
        with pytest.raises(Unavailable, match="was deleted in the cluster"):
            await late
        assert [item["metadata"]["name"] for item in await place.operator.ray_jobs()] == [name_of(held)]
        # The holder is killed; the one that comes back finds the object by its label.
        assert await restarted.clear(JOB_ID) == 1
        with pytest.raises(Unavailable):
            await attempt
        await place.until_nothing_is_left()


class WithoutKubeRay(KubernetesClient):
    """A cluster that seems to have no RayJob."""

    async def has_resource(self, group: str, version: str, plural: str) -> bool:
        return False


async def test_without_kuberay_the_clusters_own_controller_ends_the_attempt(
    tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path
) -> None:
    client = WithoutKubeRay(NAMESPACE, kubeconfig)
    async with ground(tmp_path, control_plane, kubeconfig) as place, place.trainer(client=client) as backend:
        attempt = await begun(backend)
        assert waits(backend, "asked for pods")()
        while not (pods := await place.operator.pods()):
            await asyncio.sleep(0.05)
        await place.operator.set_phase(pods[0], "Running")
        await place.until(runs(backend))
        await place.operator.set_phase(pods[0], "Succeeded")
        assert await attempt == 0
        await place.until_nothing_is_left()


async def test_a_right_that_is_missing_is_named_with_its_rule(
    tmp_path: Path, control_plane: ControlPlane, kubeconfig: Path
) -> None:
    control_plane.kubectl("delete", "rolebinding", ACCOUNT, "-n", NAMESPACE)
    backend = RayKubernetesBackend(tmp_path, KubernetesClient(NAMESPACE, kubeconfig), PODS, artifacts_url="")
    with pytest.raises(FailedPrecondition) as raised:
        await backend.run(PLAN)
    await backend.close()
    assert 'Add the rule {apiGroups: ["ray.io"], resources: ["rayjobs"], verbs: ["create"]}' in str(raised.value)
    assert f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}" in str(raised.value)

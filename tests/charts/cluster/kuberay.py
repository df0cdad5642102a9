"""A small fake of the KubeRay operator on a real API: it validates, makes pods, and moves RayJobs through their states.

It is also the kubelet of those pods. The definition of RayJob has the fields that this product uses: others would be
cut off, as the real one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from services.chassis.errors import ResourceExhausted, ServiceError
from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from tests.unit.trainer.backends.kuberay_rules import refusal_of

_PAUSE_SECONDS = 0.1
_MERGE: Final = "application/merge-patch+json"
_ANY: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "format": "int32"}
_FLAG: Final = {"type": "boolean"}


def _object(**properties: Any) -> Manifest:
    return {"type": "object", "properties": properties}


_GROUP = _object(
    groupName=_TEXT, replicas=_NUMBER, minReplicas=_NUMBER, maxReplicas=_NUMBER, rayStartParams=_ANY, template=_ANY
)
_RULE = _object(policy=_TEXT, condition=_object(jobStatus=_TEXT, ttlSeconds=_NUMBER))
_SPEC = _object(
    entrypoint=_TEXT,
    submissionMode=_TEXT,
    backoffLimit=_NUMBER,
    activeDeadlineSeconds=_NUMBER,
    preRunningDeadlineSeconds=_NUMBER,
    suspend=_FLAG,
    shutdownAfterJobFinishes=_FLAG,
    ttlSecondsAfterFinished=_NUMBER,
    deletionStrategy=_object(deletionRules={"type": "array", "items": _RULE}),
    submitterPodTemplate=_ANY,
    rayClusterSpec=_object(
        rayVersion=_TEXT,
        authOptions=_object(mode=_TEXT),
        headGroupSpec=_object(rayStartParams=_ANY, template=_ANY),
        workerGroupSpecs={"type": "array", "items": _GROUP},
    ),
)
_STATUS = _object(jobDeploymentStatus=_TEXT, jobStatus=_TEXT, reason=_TEXT, message=_TEXT, rayClusterName=_TEXT)
DEFINITION: Final = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "rayjobs.ray.io"},
    "spec": {
        "group": "ray.io",
        "scope": "Namespaced",
        "names": {"kind": "RayJob", "listKind": "RayJobList", "plural": "rayjobs", "singular": "rayjob"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _object(spec=_SPEC, status=_STATUS)},
            }
        ],
    },
}


class Operator:
    """Looks at all RayJobs of a namespace, again and again.

    Args:
        client: The cluster, as its administrator.
        on_run: Called once when the pods of a RayJob run; returns the job status with which it ends.
    """

    def __init__(self, client: KubernetesClient, on_run: Callable[[Manifest], Awaitable[str]] | None = None) -> None:
        self.fault: BaseException | None = None
        self._client = client
        self._on_run = on_run
        self._runs: dict[str, asyncio.Task[str]] = {}
        self._warned: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._looking
        self._looking.cancel()
        self._forget(set())
        await asyncio.gather(self._looking, return_exceptions=True)
        assert self.fault is None, self.fault

    async def say(self, name: str, **status: Any) -> None:
        """Set the status of a RayJob."""
        await self._patch("patch_namespaced_custom_object_status", name, {"status": status})

    async def suspend(self, name: str, *, suspend: bool) -> None:
        """Be the queue that takes a place back or gives it."""
        await self._patch("patch_namespaced_custom_object", name, {"spec": {"suspend": suspend}})

    async def pods(self) -> list[Manifest]:
        """Return all pods."""
        listing = await self._client.call("CoreV1Api", "list_namespaced_pod", self._client.namespace)
        return list((listing or {})["items"])

    async def ray_jobs(self) -> list[Manifest]:
        """Return all RayJobs."""
        place = ("ray.io", "v1", self._client.namespace, "rayjobs")
        listing = await self._client.call("CustomObjectsApi", "list_namespaced_custom_object", *place)
        return list((listing or {})["items"])

    async def set_phase(self, pod: Manifest, phase: str) -> None:
        """Be the kubelet that says how far a pod is."""
        place = (pod["metadata"]["name"], self._client.namespace, {"status": {"phase": phase}})
        await self._client.call("CoreV1Api", "patch_namespaced_pod_status", *place, absent=404)

    async def _patch(self, method: str, name: str, body: Manifest) -> None:
        place = ("ray.io", "v1", self._client.namespace, "rayjobs", name)
        # One that is gone needs no status.
        await self._client.call("CustomObjectsApi", method, *place, body, absent=404, _content_type=_MERGE)

    async def _look(self) -> None:
        try:
            while True:
                # RayJobs first: a pod that is then unknown has an owner that is younger than the list.
                ray_jobs, pods = await self.ray_jobs(), await self.pods()
                for ray_job in ray_jobs:
                    name = ray_job["metadata"]["name"]
                    await self._reconcile(ray_job, [pod for pod in pods if _owner_of(pod) == name])
                self._forget({item["metadata"]["uid"] for item in ray_jobs})
                await asyncio.sleep(_PAUSE_SECONDS)
        except Exception as error:
            # The boundary of a task of the test, which raises it at its end.
            self.fault = error
            raise

    def _forget(self, uids: set[str]) -> None:
        for uid in self._runs.keys() - uids:
            self._runs.pop(uid).cancel()

    async def _reconcile(self, ray_job: Manifest, pods: list[Manifest]) -> None:
        name, uid = ray_job["metadata"]["name"], ray_job["metadata"]["uid"]
        state = (ray_job.get("status") or {}).get("jobDeploymentStatus", "")
        if state in ("Complete", "Failed", "ValidationFailed"):
            await self._remove(pods)
        elif words := refusal_of(ray_job):
            await self.say(name, jobDeploymentStatus="ValidationFailed", reason="ValidationFailed", message=words)
        elif ray_job["spec"].get("suspend"):
            await self._suspend(ray_job, pods, state)
        elif not pods and uid not in self._runs:
            await self._make_pods(ray_job)
        elif state != "Running":
            await self._start(ray_job, pods)
        elif uid in self._runs and self._runs[uid].done():
            status = self._runs[uid].result()
            await self.say(
                name, jobDeploymentStatus="Complete" if status == "SUCCEEDED" else "Failed", jobStatus=status
            )

    async def _suspend(self, ray_job: Manifest, pods: list[Manifest], state: str) -> None:
        if (run := self._runs.pop(ray_job["metadata"]["uid"], None)) is not None:
            run.cancel()
        await self._remove(pods)
        if (wanted := "Suspending" if pods else "Suspended") != state:
            await self.say(ray_job["metadata"]["name"], jobDeploymentStatus=wanted)

    async def _start(self, ray_job: Manifest, pods: list[Manifest]) -> None:
        for pod in pods:
            await self.set_phase(pod, "Running")
        await self.say(ray_job["metadata"]["name"], jobDeploymentStatus="Running", jobStatus="RUNNING")
        if self._on_run:
            self._runs[ray_job["metadata"]["uid"]] = asyncio.ensure_future(self._on_run(ray_job))

    async def _make_pods(self, ray_job: Manifest) -> None:
        cluster, name = ray_job["spec"]["rayClusterSpec"], ray_job["metadata"]["name"]
        (group,) = cluster["workerGroupSpecs"]
        templates = [cluster["headGroupSpec"]["template"], *[group["template"]] * group["replicas"]]
        owner = {"apiVersion": "ray.io/v1", "kind": "RayJob", "name": name, "uid": ray_job["metadata"]["uid"]}
        await self.say(name, jobDeploymentStatus="Initializing", rayClusterName=f"{name}-cluster")
        for number, template in enumerate(templates):
            metadata = {**template["metadata"], "name": f"{name}-{number}", "ownerReferences": [owner]}
            body = {"metadata": metadata, "spec": template["spec"]}
            try:
                await self._client.call("CoreV1Api", "create_namespaced_pod", self._client.namespace, body, absent=409)
            except ResourceExhausted as error:
                await self._warn(f"{name}-cluster", error)
                return

    async def _warn(self, name: str, error: ServiceError) -> None:
        if name in self._warned:
            return
        self._warned.add(name)
        body = {
            "metadata": {"generateName": f"{name}-"},
            "involvedObject": {"kind": "RayCluster", "name": name, "namespace": self._client.namespace},
            "type": "Warning",
            "reason": "FailedToCreateWorkerPod",
            "message": error.problem,
            "lastTimestamp": "2026-11-29T10:00:00Z",
        }
        await self._client.call("CoreV1Api", "create_namespaced_event", self._client.namespace, body)

    async def _remove(self, pods: list[Manifest]) -> None:
        for pod in pods:
            place = (pod["metadata"]["name"], self._client.namespace)
            await self._client.call("CoreV1Api", "delete_namespaced_pod", *place, absent=404)


def _owner_of(pod: Manifest) -> str:
    return str((pod["metadata"].get("ownerReferences") or [{"name": ""}])[0]["name"])

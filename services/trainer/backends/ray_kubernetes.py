"""Training in a Kubernetes cluster: each attempt is a RayJob where KubeRay is installed, else a Job.

The pods have a disk of their own: code comes by the image, and data and checkpoints go by artifacts alone.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import structlog

from services.chassis.errors import FailedPrecondition, ServiceError, Unavailable
from services.chassis.machine.files import remove_tree
from services.chassis.machine.kubernetes.client import KubernetesClient, Manifest
from services.chassis.machine.kubernetes.mirror import Mirror
from services.chassis.waiting import patiently
from services.trainer.backends.kubernetes_logs import PodLogs
from services.trainer.backends.kubernetes_objects import (
    ATTEMPT_LABEL,
    EPOCH_LABEL,
    JOB_LABEL,
    MANAGER,
    MANAGER_LABEL,
    SCRATCH,
    TLS_FOLDER,
    TOKEN_FOLDER,
    TrainingPods,
    name_of,
    plain_job,
    ray_job,
)
from services.trainer.backends.kubernetes_runs import RAY_JOB, Runs, runs_of, stuck
from services.trainer.backends.kubernetes_status import Look, Progress, look_at
from services.trainer.domain.attempt import PreemptedError
from services.trainer.domain.plan import AttemptPlan

_OURS = f"{MANAGER_LABEL}={MANAGER}"
_CLUSTER = "the cluster"
_LOOK_SECONDS = 5.0
_LEAST_LOOK_SECONDS = 0.5
_EVENTS_SECONDS = 5.0
_END_SECONDS = 30.0
_log = structlog.get_logger()


class RayKubernetesBackend:
    """Runs attempts in the cluster, and follows all of them by one watch of their objects and one of their pods."""

    fetches_artifacts = True

    def __init__(
        self,
        attempts_folder: Path,
        client: KubernetesClient,
        pods: TrainingPods,
        *,
        artifacts_url: str,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """Attempts put checkpoints into the trainer's own store at `artifacts_url`."""
        self._attempts_folder = attempts_folder.resolve()
        self._client = client
        self._settings = pods
        self._artifacts_url = artifacts_url
        self._look_seconds = look_seconds
        self._reasons: dict[str, str] = {}
        self._warnings: dict[str, tuple[float, str]] = {}
        self._kinds: tuple[Runs, ...] = ()
        self._runs: Mirror | None = None
        self._logs = PodLogs(client)
        pod_call = ("CoreV1Api", "list_namespaced_pod", pods.namespace)
        self._pods = Mirror(client, *pod_call, selector=_OURS)

    def wait_reason(self, training_job_id: str) -> str:
        """Return what a job's attempt waits for before it runs, as a sentence; empty when it does not."""
        return self._reasons.get(training_job_id, "")

    async def prepare(self, plan: AttemptPlan) -> AttemptPlan:
        """Return a plan with the places that it has in a pod."""
        if self._settings.claim:
            # A kubelet makes what it mounts, where that is not there, for root alone.
            await asyncio.to_thread(self._settings.checkpoint_store.mkdir, parents=True, exist_ok=True)
        return replace(
            plan,
            checkpoint_folder=f"{SCRATCH}/checkpoints",
            scratch_folder=SCRATCH,
            token_file=f"{TOKEN_FOLDER}/token" if self._settings.token_secret else "",
            tls_folder=TLS_FOLDER if self._settings.tls_secret else "",
            artifacts_url=self._artifacts_url,
            num_threads=0,
        )

    async def run(self, plan: AttemptPlan) -> int:
        """Let the cluster do a prepared plan; return 0 at its end. Cancelled, it ends the attempt's pods first.

        Raises:
            PreemptedError: The pods were taken away for others' sake.
            FailedPrecondition: The cluster refuses it, or nothing that is to come could let it run.
            Unavailable: It ended without its own word.
        """
        job_id = plan.training_job_id
        self._reasons[job_id] = "The cluster is asked for pods."
        try:
            await patiently(partial(self._create, plan), _CLUSTER)
            return await self._follow(plan)
        except (ServiceError, PreemptedError):
            await self._keep_last_words(plan)
            raise
        finally:
            await asyncio.shield(self._end(plan))
            self._logs.forget(self._folder(plan))
            self._reasons.pop(job_id, None)

    async def clear(self, training_job_id: str) -> int:
        """Delete what earlier attempts at a job left in the cluster, and say how many there were.

        Raises:
            Unavailable: Some of it does not go; or the cluster does not answer.
        """
        selector = f"{JOB_LABEL}={training_job_id}"
        kinds = await self._known_kinds()
        names = [(runs, run["metadata"]["name"]) for runs in kinds for run in await runs.list(selector)]
        for runs, name in names:
            await runs.delete(name)
        deadline = time.monotonic() + self._settings.grace_seconds + _END_SECONDS
        while names and (left := [(runs, run) for runs in kinds for run in await runs.list(selector)]):
            if time.monotonic() > deadline:
                raise stuck(left[0][1]["metadata"]["name"], left[0][0].kind)
            await asyncio.sleep(min(1.0, self._look_seconds))
        return len(names)

    async def remove(self, training_job_id: str) -> None:
        """Do the same, and remove the logs of the job's attempts from this machine."""
        await self.clear(training_job_id)
        await asyncio.to_thread(remove_tree, self._attempts_folder / training_job_id)

    async def close(self) -> None:
        """Follow no more; what runs ends by itself when nobody takes its reports."""
        for mirror in filter(None, (self._runs, self._pods)):
            await mirror.close()

    async def _known_kinds(self) -> tuple[Runs, ...]:
        self._kinds = self._kinds or await runs_of(self._client)
        return self._kinds

    async def _create(self, plan: AttemptPlan) -> None:
        """Make the attempt's object; one of its name is from a call of ours whose answer was lost."""
        try:
            runs = (await self._known_kinds())[0]
            manifest = (ray_job if runs.kind is RAY_JOB else plain_job)(plan, self._settings)
            await runs.create(manifest)
        except ServiceError as error:
            self._reasons[plan.training_job_id] = error.problem
            raise

    async def _follow(self, plan: AttemptPlan) -> int:
        """Look at the attempt until it has ended well."""
        self._runs = mirror = self._runs or self._kinds[0].mirror(_OURS)
        has_run, deadline = False, time.monotonic() + self._settings.pre_running_deadline_seconds
        while True:
            mirror.start()
            self._pods.start()
            await self._fence(plan, mirror)
            self._logs.follow(self._folder(plan), self._pods_of(plan))
            look = await self._look(plan, mirror, has_run=has_run)
            has_run = has_run or look.progress is Progress.RUNNING
            if look.progress is Progress.DONE:
                return 0
            if look.progress is Progress.QUEUED:
                deadline = time.monotonic() + self._settings.pre_running_deadline_seconds
            elif not has_run and time.monotonic() > deadline:
                raise FailedPrecondition(
                    f"Its pods did not run within {self._settings.pre_running_deadline_seconds} s: {look.reason}",
                    "Mend what the cluster names, or raise training.preRunningDeadlineSeconds of the chart.",
                )
            self._reasons[plan.training_job_id] = look.reason
            await asyncio.gather(mirror.wait_for_change(self._look_seconds), asyncio.sleep(_LEAST_LOOK_SECONDS))

    async def _look(self, plan: AttemptPlan, mirror: Mirror, *, has_run: bool) -> Look:
        run = mirror.objects.get(name_of(plan))
        if run is None:
            # The copy may be older than the object.
            listed = await patiently(partial(self._kinds[0].list, _selector(plan)), _CLUSTER)
            run = next(iter(listed), None)
        if run is None:
            raise Unavailable(
                f"{name_of(plan)} was deleted in the cluster by somebody else.", "Cancel or pause the job instead."
            )
        # An object of a list does not name its kind.
        run = {"kind": "RayJob" if self._kinds[0].kind is RAY_JOB else "Job", **run}
        try:
            look = look_at(run, self._pods_of(plan), has_run=has_run)
        except Unavailable:
            # Why a pod ended may be told after the end of the whole.
            pods = await patiently(partial(self._pods_now, plan), _CLUSTER)
            look = look_at(run, pods, has_run=has_run)
        if look.progress in (Progress.RUNNING, Progress.DONE):
            return look
        return replace(look, reason=await self._explained(plan, run, look))

    async def _explained(self, plan: AttemptPlan, run: Manifest, look: Look) -> str:
        """Return the reason for a wait, or the newest warning of the cluster where that says more."""
        if look.has_words:
            return look.reason
        now, (asked, words) = time.monotonic(), self._warnings.get(plan.training_job_id, (-_EVENTS_SECONDS, ""))
        if now - asked >= _EVENTS_SECONDS:
            names = filter(None, (name_of(plan), (run.get("status") or {}).get("rayClusterName")))
            words = max([await patiently(partial(self._warning, name), _CLUSTER) for name in names])[1]
            self._warnings[plan.training_job_id] = (now, words)
        return f"{look.reason} {words}".strip()

    async def _warning(self, name: str) -> tuple[str, str]:
        """Return time and words of the newest warning about an object."""
        fields = f"involvedObject.name={name},type=Warning"
        listing = await self._client.call(
            "CoreV1Api", "list_namespaced_event", self._settings.namespace, field_selector=fields
        )
        warnings = [
            (
                str(event.get("lastTimestamp") or event.get("eventTime") or ""),
                f"{event.get('reason')}: {event.get('message', '')}",
            )
            for event in (listing or {}).get("items") or ()
        ]
        return max(warnings, default=("", ""))

    async def _fence(self, plan: AttemptPlan, mirror: Mirror) -> None:
        """Delete what a trainer that lost the job meanwhile has begun."""
        for name, run in list(mirror.objects.items()):
            labels = run["metadata"]["labels"]
            is_older = labels.get(JOB_LABEL) == plan.training_job_id and int(labels[EPOCH_LABEL]) < plan.epoch
            if is_older and "deletionTimestamp" not in run["metadata"]:
                _log.warning("older_attempt_deleted", name=name)
                await patiently(partial(self._kinds[0].delete, name), _CLUSTER)

    def _pods_of(self, plan: AttemptPlan) -> list[Manifest]:
        labels = _labels(plan).items()
        return [pod for pod in self._pods.objects.values() if labels <= pod["metadata"]["labels"].items()]

    async def _pods_now(self, plan: AttemptPlan) -> list[Manifest]:
        listing = await self._client.call(
            "CoreV1Api", "list_namespaced_pod", self._settings.namespace, label_selector=_selector(plan)
        )
        return list((listing or {}).get("items") or ())

    async def _end(self, plan: AttemptPlan) -> None:
        """Delete the attempt's object, and return when its pods are gone, or their grace is over."""
        if not self._kinds:
            return
        self._warnings.pop(plan.training_job_id, None)
        try:
            await patiently(partial(self._kinds[0].delete, name_of(plan)), _CLUSTER, seconds=_END_SECONDS)
        except ServiceError as error:
            # What is left ends by itself when nobody takes its reports, and goes with its time to live.
            _log.warning("attempt_not_deleted", name=name_of(plan), reason=str(error))
            return
        deadline = time.monotonic() + self._settings.grace_seconds + _END_SECONDS
        while self._pods_of(plan) and time.monotonic() < deadline:
            await self._pods.wait_for_change(self._look_seconds)

    async def _keep_last_words(self, plan: AttemptPlan) -> None:
        """Read the logs of the attempt's pods to their ends."""
        try:
            await self._logs.finish(self._folder(plan), await self._pods_now(plan))
        except ServiceError as error:
            _log.warning("last_words_not_read", name=name_of(plan), reason=str(error))

    def _folder(self, plan: AttemptPlan) -> Path:
        return self._attempts_folder / plan.training_job_id / f"attempt-{plan.attempt:03d}"


def _labels(plan: AttemptPlan) -> dict[str, str]:
    return {JOB_LABEL: plan.training_job_id, ATTEMPT_LABEL: str(plan.attempt), EPOCH_LABEL: str(plan.epoch)}


def _selector(plan: AttemptPlan) -> str:
    return ",".join(f"{key}={value}" for key, value in _labels(plan).items())

"""What a cluster says of an attempt's object and its pods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from services.chassis.errors import FailedPrecondition, Unavailable
from services.chassis.machine.kubernetes.client import Manifest
from services.chassis.machine.kubernetes.complaints import complaints_of
from services.trainer.domain.attempt import PreemptedError

_MAX_WORDS = 500
# The pods' own ends that are nobody's fault here.
_TAKEN = ("Evicted", "Preempting", "NodeLost", "NodeAffinity", "Terminated", "Shutdown", "DisruptionTarget")
_ENDED_PHASES = ("Succeeded", "Failed")


class Progress(Enum):
    """How far an attempt's object is."""

    QUEUED = "a queue holds it back"
    STARTING = "its pods do not run yet"
    RUNNING = "it runs, or saves since it is taken away"
    DONE = "it has ended well"


@dataclass(frozen=True)
class Look:
    """One look at an attempt.

    Attributes:
        progress: How far it is.
        reason: What it waits for, as a sentence; empty when it runs.
        has_words: Whether those are the cluster's own, of its pods.
    """

    progress: Progress
    reason: str = ""
    has_words: bool = False


def look_at(run: Manifest, pods: Sequence[Manifest], *, has_run: bool) -> Look:
    """Return how an attempt stands.

    Args:
        run: Its RayJob or Job.
        pods: Those of the attempt.
        has_run: Whether it ran at an earlier look.

    Raises:
        PreemptedError: It was taken away for others, or with its node, and its pods are gone.
        FailedPrecondition: It cannot run until somebody changes something.
        Unavailable: It ended without its own word; another attempt may do better.
    """
    alive = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED_PHASES]
    if _is_suspended(run):
        return _suspended(run, has_run=has_run, is_alive=bool(alive))
    end = _end_of_ray_job(run) if run["kind"] == "RayJob" else _end_of_job(run)
    if end == "":
        return Look(Progress.DONE)
    if end is not None:
        if run["kind"] == "Job" and any(map(_saves, alive)):
            return Look(Progress.RUNNING)
        raise _fault(end, pods)
    if hopeless := [item for item in complaints_of(pods) if item.is_hopeless and item.reason != "ErrImagePull"]:
        raise FailedPrecondition(f"The cluster cannot run the training: {hopeless[0]}", _mend(hopeless[0].reason))
    if _runs(run, alive):
        return Look(Progress.RUNNING)
    waits = [str(item) for item in complaints_of(pods)]
    if waits:
        return Look(Progress.STARTING, waits[0], has_words=True)
    return Look(Progress.STARTING, f"{len(alive)} pods were made, and the attempt does not run yet.")


def _saves(pod: Manifest) -> bool:
    """Whether a pod that is taken away has time left to save."""
    deadline = pod["metadata"].get("deletionTimestamp")
    return deadline is not None and datetime.fromisoformat(deadline) > datetime.now(UTC)


def _is_suspended(run: Manifest) -> bool:
    return bool(run["spec"].get("suspend")) or _deployment_status(run) in ("Suspending", "Suspended")


def _suspended(run: Manifest, *, has_run: bool, is_alive: bool) -> Look:
    if is_alive:
        # What is taken away saves first, and says itself that it has.
        return Look(Progress.RUNNING)
    if has_run:
        raise PreemptedError("The queue took the place of the attempt back; the next waits for one.")
    queue = (run["metadata"].get("labels") or {}).get("kueue.x-k8s.io/queue-name", "")
    return Look(Progress.QUEUED, f"Queued: the {run['kind']} is suspended until the queue {queue!r} admits it.")


def _deployment_status(run: Manifest) -> str:
    return str((run.get("status") or {}).get("jobDeploymentStatus") or "")


def _end_of_ray_job(run: Manifest) -> str | None:
    """Return why a RayJob failed, nothing when it ended well, and None while it goes on."""
    status, progress = run.get("status") or {}, _deployment_status(run)
    words = ": ".join(filter(None, (status.get("reason"), status.get("message"))))[:_MAX_WORDS]
    if progress == "ValidationFailed":
        raise FailedPrecondition(
            f"KubeRay refuses the RayJob: {words}", "Upgrade KubeRay to 1.7, or change the chart's values for training."
        )
    if progress == "Complete":
        return "" if status.get("jobStatus") in (None, "", "SUCCEEDED") else words or str(status.get("jobStatus"))
    return (words or "Failed") if progress == "Failed" else None


def _end_of_job(run: Manifest) -> str | None:
    for condition in (run.get("status") or {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] == "Complete":
            return ""
        if condition["status"] == "True" and condition["type"] == "Failed":
            return f"{condition.get('reason')}: {condition.get('message')}"[:_MAX_WORDS]
    return None


def _runs(run: Manifest, alive: Iterable[Manifest]) -> bool:
    if run["kind"] == "RayJob":
        return _deployment_status(run) == "Running" and (run.get("status") or {}).get("jobStatus") == "RUNNING"
    return any((pod.get("status") or {}).get("phase") == "Running" for pod in alive)


def _fault(words: str, pods: Iterable[Manifest]) -> Exception:
    if words.startswith("PodFailurePolicy"):
        return PreemptedError(f"The cluster took the attempt's pod away: {words}"[:_MAX_WORDS])
    ends = list(_ends_of(pods))
    for reason, message in ends:
        if reason in _TAKEN:
            return PreemptedError(f"The cluster took a pod of the attempt away: {reason}: {message}"[:_MAX_WORDS])
    for reason, message in ends:
        if reason == "OOMKilled":
            return Unavailable(
                f"OOMKilled: {message} took more memory than its limit.",
                "Lower max_tokens_per_pack, or raise training.resources.limits.memory of the chart.",
            )
    codes = ", ".join(message for reason, message in ends if reason == "Error")
    why = f"{words}; {codes}" if codes else words
    return Unavailable(f"The cluster ended the attempt: {why}.", "Its log is kept in the data folder.")


def _ends_of(pods: Iterable[Manifest]) -> Iterable[tuple[str, str]]:
    """Yield why pods and their containers ended: reason, and message or name."""
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("reason"):
            yield status["reason"], status.get("message") or ""
        for condition in status.get("conditions") or ():
            if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
                yield condition["type"], condition.get("message") or condition.get("reason") or ""
        for container in status.get("containerStatuses") or ():
            if ended := (container.get("state") or {}).get("terminated"):
                reason, said = ended.get("reason") or "", f"the container {container['name']}"
                yield reason, f"{said} ended with code {ended.get('exitCode')}" if reason == "Error" else said


def _mend(reason: str) -> str:
    if "Image" in reason:
        return (
            "Name an image that the nodes can pull in training.image of the chart, and its secret in image.pullSecrets."
        )
    return "Let the cluster's operator mend it, and start a new job."

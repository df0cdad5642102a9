"""What keeps pods from running, in the cluster's own words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from services.chassis.machine.kubernetes.client import Manifest

# Waiting for these is in vain until somebody changes something.
HOPELESS: Final = frozenset(
    (
        *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"),
        *("CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
    )
)
_MAX_TEXT = 500


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a pod: the cluster's reason, which is one word, and its message."""

    reason: str
    message: str

    @property
    def is_hopeless(self) -> bool:
        """Whether somebody must change something before it gets better."""
        return self.reason in HOPELESS

    def __str__(self) -> str:
        """Return both, cut to what a person reads."""
        return f"{self.reason}: {self.message}"[:_MAX_TEXT]


def complaints_of(pods: Iterable[Manifest]) -> Iterator[Complaint]:
    """Yield what keeps pods from being scheduled or their containers from starting."""
    for pod in pods:
        status = pod.get("status") or {}
        for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
            state = (container.get("state") or {}).get("waiting") or {}
            last = (container.get("lastState") or {}).get("terminated") or {}
            words = last.get("message") or (f"exit code {last['exitCode']}" if "exitCode" in last else "")
            if state.get("reason") and state["reason"] not in ("ContainerCreating", "PodInitializing"):
                yield Complaint(state["reason"], " ".join(filter(None, (state.get("message"), words))))
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                yield Complaint(condition.get("reason") or "Unschedulable", condition.get("message") or "")

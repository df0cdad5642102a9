"""Where it is known what workers are to serve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class WorkerDeployment:
    """A version that workers are to serve, and that has not answered yet, or could not."""

    deployment_id: str
    model_version_id: str


class Deployments(Protocol):
    """Where it is known what workers are to serve."""

    async def unanswered(self) -> Sequence[WorkerDeployment]:
        """Return the deployments by workers that are starting or have failed."""
        ...

    async def report(self, deployment_id: str, *, reason: str, has_failed: bool) -> None:
        """Tell how one stands; without a reason it has answered."""
        ...

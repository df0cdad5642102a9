"""Versions that test-runner serves itself when it is asked for them."""

from __future__ import annotations

from services.registry.domain.deployment import Deployment, DeploymentState, DeploymentStatus
from services.registry.ports.deployment import ServedVersion


class WorkerDeployer:
    """Nothing has to be started: test-runner loads the version when it is first asked for."""

    async def serve(self, deployment: Deployment, served: ServedVersion) -> DeploymentStatus:
        """Say that it is ready."""
        return DeploymentStatus(DeploymentState.READY)

    async def remove(self, deployment: Deployment) -> bool:
        """Say that nothing is left."""
        return True

    async def close(self) -> None:
        """Nothing ends with this process."""

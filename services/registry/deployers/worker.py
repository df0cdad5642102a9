"""Versions that test-runner serves itself when it is asked for them."""

from __future__ import annotations

from services.registry.domain.deployment import Deployment, DeploymentStatus, ServedVersion


class WorkerDeployer:
    """Nothing is started here: test-runner asks the version something, and tells by `ReportDeployment` what came."""

    async def serve(self, deployment: Deployment, served: ServedVersion) -> DeploymentStatus:
        """Say how it stands by what was told last."""
        return DeploymentStatus(deployment.state, deployment.reason)

    async def remove(self, deployment: Deployment) -> bool:
        """Say that nothing is left."""
        return True

    async def close(self) -> None:
        """Nothing ends with this process."""

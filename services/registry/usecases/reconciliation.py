"""Bringing about what the rows of deployments say, in one replica of the registry at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from services.chassis.errors import DatabaseAway, FailedPrecondition, ServiceError, Unavailable
from services.registry.domain.deployment import Deployment, DeploymentState, DeploymentStatus, ServedVersion
from services.registry.domain.identifiers import version_ref
from services.registry.domain.model import ModelVersion, ModelVersionKind
from services.registry.ports import Deployers
from services.registry.ports.stores import DeploymentStore, ModelStore

_PAUSE_SECONDS = 1.0
_log = structlog.get_logger()


class Reconciler:
    """Looks at every deployment about once a second, and lets its backend bring it nearer to what it should be.

    Args:
        owner: The name of this process among the replicas.
        lease_seconds: Without news of this process for so long, another replica takes over.
    """

    def __init__(
        self, store: DeploymentStore, models: ModelStore, deployers: Deployers, *, owner: str, lease_seconds: float
    ) -> None:
        self._store, self._models, self._deployers = store, models, deployers
        self._owner, self._lease_seconds = owner, lease_seconds
        self._bell = asyncio.Event()

    def wake(self) -> None:
        """Look at the deployments now."""
        self._bell.set()

    async def run(self) -> None:
        """Look after the deployments until this is cancelled; then what serves them in this process ends."""
        try:
            while True:
                self._bell.clear()
                try:
                    await self.turn()
                except ServiceError as error:
                    # What runs goes on while the database is away.
                    _log.warning("deployments_not_seen", reason=str(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), min(_PAUSE_SECONDS, self._lease_seconds / 3))
        finally:
            await self._close()

    async def turn(self) -> None:
        """Look at every deployment once, unless another replica does."""
        if not await self._store.is_reconciler(self._owner, self._lease_seconds):
            await self._close()
            return
        looks = [self._look_at(deployment) for deployment in await self._store.all()]
        # Not a group of tasks: it ends all for one that failed, and loses a cancel that comes with an error.
        for error in await asyncio.gather(*looks, return_exceptions=True):
            if error is not None:
                raise error

    async def _look_at(self, deployment: Deployment) -> None:
        if deployment.state is DeploymentState.STOPPING:
            await self._take_down(deployment)
            return
        status = deployment.tested(await self._status(deployment))
        if status != DeploymentStatus(deployment.state, deployment.reason, deployment.base_url):
            _log.info("deployment_changed", deployment_id=deployment.deployment_id, state=status.state.value)
            await self._store.tell(deployment.deployment_id, status)

    async def _take_down(self, deployment: Deployment) -> None:
        deployer = self._deployers.get(deployment.spec.backend)
        try:
            if deployer is None or await deployer.remove(deployment):
                await self._store.remove(deployment.deployment_id)
        except ServiceError as error:
            _log.warning("deployment_not_taken_down", deployment_id=deployment.deployment_id, reason=str(error))

    async def _status(self, deployment: Deployment) -> DeploymentStatus:
        deployer = self._deployers.get(deployment.spec.backend)
        if deployer is None:
            problem = f"{deployment.spec.backend.value.upper()} is not there any more."
            return DeploymentStatus(DeploymentState.FAILED, problem)
        try:
            return await deployer.serve(deployment, await self._served(deployment))
        except DatabaseAway:
            # That says nothing of the deployment, which goes on.
            raise
        except Unavailable as error:
            return DeploymentStatus(DeploymentState.STARTING, error.problem, deployment.base_url)
        except ServiceError as error:
            return DeploymentStatus(DeploymentState.FAILED, str(error))

    async def _served(self, deployment: Deployment) -> ServedVersion:
        version_id = deployment.spec.model_version_id
        version = await self._models.named(version_id)
        return ServedVersion(version, await self._base(version))

    async def _base(self, version: ModelVersion) -> ModelVersion | None:
        """Return what a version is put on: weights of the same form."""
        if version.kind not in (ModelVersionKind.ADAPTER, ModelVersionKind.GGUF_ADAPTER):
            return None
        base = await self._models.get_version(version_ref(version.base_model_version_id))
        if version.kind is ModelVersionKind.ADAPTER or base is None:
            return base
        weights_id = base.base_model_version_id if base.kind is ModelVersionKind.ADAPTER else base.version_id
        form = await self._models.find_form(weights_id, ModelVersionKind.GGUF)
        if form is None:
            raise FailedPrecondition(
                f"{version.version_id} is put on a GGUF form of {weights_id}, and there is none.",
                f"Export one: `drillyard models export {weights_id} --as gguf:BF16`.",
            )
        return form

    async def _close(self) -> None:
        for deployer in self._deployers.values():
            await deployer.close()

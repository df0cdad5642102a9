"""Use cases of deployments and aliases."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentStatus,
    check_alias_id,
    chosen_backend,
)
from services.registry.domain.identifiers import check_request_id, plain_id
from services.registry.domain.paging import Page, PageRequest
from services.registry.ports.deployment import AliasStore, DeploymentStore
from services.registry.usecases.model import ModelUseCases


class DeploymentUseCases:
    """Keeps what is to be served; the reconciler brings it about.

    Args:
        backends: Those that this installation has.
        wake: Called when there is something to bring about.
    """

    def __init__(
        self,
        store: DeploymentStore,
        models: ModelUseCases,
        *,
        backends: Collection[DeploymentBackend],
        wake: Callable[[], None],
    ) -> None:
        self._store, self._models, self._backends, self._wake = store, models, backends, wake

    async def create(self, request_id: str, spec: DeploymentSpec) -> Deployment:
        """Store a deployment and return it at once.

        Raises:
            NotFound: There is no such version.
            FailedPrecondition: Nothing that is there can serve it so.
            AlreadyExists: The request_id was used with another spec.
        """
        check_request_id(request_id)
        version = await self._models.get_version(spec.model_version_id)
        spec = replace(spec, model_version_id=version.version_id)
        backend = chosen_backend(version.kind, spec.backend, self._backends)
        deployment = await self._store.add(request_id, spec, backend)
        self._wake()
        return deployment

    async def get(self, deployment_id: str) -> Deployment:
        """Return one deployment as it stands now, or raise NotFound."""
        return await self._store.get(plain_id(deployment_id))

    async def list(self, page: PageRequest) -> Page[Deployment]:
        """Return deployments, newest first."""
        return await self._store.list(page)

    async def report(self, deployment_id: str, status: DeploymentStatus) -> None:
        """Store how a deployment by workers stands.

        Raises:
            NotFound: There is none.
            FailedPrecondition: No workers serve it.
        """
        deployment = await self.get(deployment_id)
        deployment.check_has_workers()
        await self._store.tell(deployment.deployment_id, status)

    async def delete(self, deployment_id: str) -> None:
        """Let a deployment be taken down.

        Raises:
            NotFound: There is none.
            FailedPrecondition: An alias points at it.
        """
        await self._store.stop(plain_id(deployment_id))
        self._wake()


class AliasUseCases:
    """Points names at versions."""

    def __init__(self, store: AliasStore, models: ModelUseCases) -> None:
        self._store, self._models = store, models

    async def set(self, move: AliasMove, expected_revision: int) -> Alias:
        """Point a name at a version, in one step.

        Raises:
            InvalidArgument: The name is none.
            NotFound: A version or the deployment is not there.
            FailedPrecondition: The deployment is not ready, or serves another version.
            Aborted: Another move came first.
        """
        check_alias_id(move.alias_id)
        version = await self._models.get_version(move.model_version_id)
        shadow = move.shadow_model_version_id
        if shadow:
            shadow = (await self._models.get_version(shadow)).version_id
        move = replace(move, model_version_id=version.version_id, shadow_model_version_id=shadow)
        return await self._store.set(move, expected_revision)

    async def get(self, alias_id: str) -> Alias:
        """Return one alias, or raise NotFound."""
        return await self._store.get(plain_id(alias_id))

    async def list(self, page: PageRequest) -> Page[Alias]:
        """Return aliases by id."""
        return await self._store.list(page)

    async def rollback(self, alias_id: str, expected_revision: int) -> Alias:
        """Point a name at its version before, in one step; errors as of `set`."""
        return await self._store.rollback(plain_id(alias_id), expected_revision)

    async def delete(self, alias_id: str) -> None:
        """Remove a name; its version and deployment stay."""
        await self._store.delete(plain_id(alias_id))

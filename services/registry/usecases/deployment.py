"""Use cases of deployments and aliases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import replace

from services.chassis.errors import InvalidArgument, NotFound
from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentTest,
    check_alias_id,
    check_settings,
    chosen_backend,
)
from services.registry.domain.identifiers import check_request_id, plain_id
from services.registry.domain.model import ModelVersion
from services.registry.domain.paging import page_request
from services.registry.ports.stores import AliasStore, DeploymentStore
from services.registry.usecases.model import ModelUseCases
from services.registry.usecases.test_suite import TestSuiteUseCases

_SMOKE = "smoke"


class DeploymentUseCases:
    """Keeps what is to be served; the reconciler brings it about.

    Args:
        backends: Those that this installation has.
        wake: Called when there is something to bring about.
        profile_of: Returns the protocol with which a version was exported; empty where none is known.
    """

    def __init__(
        self,
        store: DeploymentStore,
        models: ModelUseCases,
        suites: TestSuiteUseCases,
        *,
        backends: Collection[DeploymentBackend],
        wake: Callable[[], None],
        profile_of: Callable[[ModelVersion], Awaitable[str]],
    ) -> None:
        self._store, self._models, self._backends, self._wake = store, models, backends, wake
        self._suites, self._profile_of = suites, profile_of

    async def create(self, request_id: str, spec: DeploymentSpec) -> Deployment:
        """Store a deployment and return it at once.

        Raises:
            NotFound: There is no such version or suite.
            InvalidArgument: It names a suite and asks for no test, or what serves it has no use for a setting.
            FailedPrecondition: Nothing that is there can serve it so.
            AlreadyExists: The request_id was used with another spec.
        """
        check_request_id(request_id)
        version = await self._models.get_version(spec.model_version_id)
        suite = await self._suite(spec, version)
        spec = replace(spec, model_version_id=version.version_id)
        backend = chosen_backend(version.kind, spec.backend, self._backends)
        check_settings(spec, backend)
        deployment = await self._store.add(request_id, spec, backend, suite)
        self._wake()
        return deployment

    async def get(self, deployment_id: str) -> Deployment:
        """Return one deployment as it stands now, or raise NotFound."""
        return await self._store.get(plain_id(deployment_id))

    async def list(self, page_size: int = 0, page_token: str = "") -> tuple[tuple[Deployment, ...], str]:
        """Return deployments, newest first."""
        page = await self._store.list(page_request(page_size, page_token))
        return page.items, page.next_token

    async def report(self, deployment_id: str, status: DeploymentStatus) -> None:
        """Store how a deployment by workers stands.

        Raises:
            NotFound: There is none.
            FailedPrecondition: No workers serve it.
        """
        deployment = await self.get(deployment_id)
        deployment.check_has_workers()
        await self._store.tell(deployment.deployment_id, deployment.tested(status))

    async def report_test(self, deployment_id: str, test: DeploymentTest) -> None:
        """Store how a deployment does on its suite; the first outcome stays.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has no suite to pass.
        """
        await self._store.tell_test(plain_id(deployment_id), test)
        self._wake()

    async def delete(self, deployment_id: str) -> None:
        """Let a deployment be taken down.

        Raises:
            NotFound: There is none.
            FailedPrecondition: An alias points at it.
        """
        await self._store.stop(plain_id(deployment_id))
        self._wake()

    async def _suite(self, spec: DeploymentSpec, version: ModelVersion) -> str:
        """Return the suite that a version must pass; empty for none."""
        if spec.without_test:
            if spec.test_suite_version_id:
                raise InvalidArgument(
                    "The spec names a suite to pass, and asks for no test.",
                    "Leave one of the two out.",
                    field="spec.without_test",
                )
            return ""
        if spec.test_suite_version_id:
            return (await self._suites.get_version(spec.test_suite_version_id)).version_id
        if profile_id := await self._profile_of(version):
            with suppress(NotFound):
                return (await self._suites.get_version(f"{profile_id}/{_SMOKE}")).version_id
        return ""


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
        """Return one alias, or raise NotFound, or InvalidArgument for what can be none."""
        check_alias_id(alias_id)
        return await self._store.get(alias_id)

    async def list(self, page_size: int = 0, page_token: str = "") -> tuple[tuple[Alias, ...], str]:
        """Return aliases by id."""
        page = await self._store.list(page_request(page_size, page_token))
        return page.items, page.next_token

    async def rollback(self, alias_id: str, expected_revision: int) -> Alias:
        """Point a name at its version before, in one step; errors as of `set`."""
        return await self._store.rollback(plain_id(alias_id), expected_revision)

    async def delete(self, alias_id: str) -> None:
        """Remove a name; its version and deployment stay."""
        await self._store.delete(plain_id(alias_id))

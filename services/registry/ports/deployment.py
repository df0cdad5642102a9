"""What deployments and aliases need from outside the registry's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentTest,
)
from services.registry.domain.model import ModelVersion
from services.registry.domain.paging import Page, PageRequest


class DeploymentStore(Protocol):
    """Deployments; each is there until nothing of it is left."""

    async def add(self, request_id: str, spec: DeploymentSpec, backend: DeploymentBackend) -> Deployment:
        """Store a deployment that `backend` is to serve as `spec` says, or return what the request_id was used for."""

    async def get(self, deployment_id: str) -> Deployment:
        """Return one deployment, or raise NotFound."""

    async def list(self, page: PageRequest) -> Page[Deployment]:
        """Return deployments, newest first."""

    async def all(self) -> tuple[Deployment, ...]:
        """Return all deployments."""

    async def tell(self, deployment_id: str, status: DeploymentStatus) -> None:
        """Store how a deployment stands, unless it is being taken down."""

    async def tell_test(self, deployment_id: str, test: DeploymentTest) -> None:
        """Store how a deployment does on its suite, unless that has ended; where it answers, its state follows."""

    async def stop(self, deployment_id: str) -> None:
        """Let a deployment be taken down; raises FailedPrecondition when an alias points at it."""

    async def remove(self, deployment_id: str) -> None:
        """Forget a deployment of which nothing is left."""

    async def is_reconciler(self, owner: str, seconds: float) -> bool:
        """Whether this process looks after the deployments for so long from now, and no other replica does."""


class AliasStore(Protocol):
    """Aliases; each moves in one step, over all replicas of the registry."""

    async def get(self, alias_id: str) -> Alias:
        """Return one alias, or raise NotFound."""

    async def list(self, page: PageRequest) -> Page[Alias]:
        """Return aliases by id."""

    async def set(self, move: AliasMove, expected_revision: int) -> Alias:
        """Make a move; raises Aborted when the alias does not stand at `expected_revision`."""

    async def rollback(self, alias_id: str, expected_revision: int) -> Alias:
        """Point an alias at its version before."""

    async def delete(self, alias_id: str) -> None:
        """Remove a name; its moves stay."""


@dataclass(frozen=True)
class ServedVersion:
    """A version to serve; `base` is what an adapter is put on."""

    version: ModelVersion
    base: ModelVersion | None = None


class Deployer(Protocol):
    """Serves versions in one way."""

    async def serve(self, deployment: Deployment, served: ServedVersion) -> DeploymentStatus:
        """Bring it about that a deployment answers, and say how it stands; it is called again and again.

        Raises:
            FailedPrecondition: It cannot be served like this.
            Unavailable: What serves it does not answer now.
        """

    async def remove(self, deployment: Deployment) -> bool:
        """Take a deployment down, and say whether nothing of it is left; safe to repeat."""

    async def close(self) -> None:
        """Let go of all that ends with this process."""


Deployers: TypeAlias = Mapping[DeploymentBackend, Deployer]

"""Where versions, deployments, aliases and claims are kept; errors are those that the classes in `store` name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from services.registry.domain.dataset import DatasetVersion, DatasetVersionDraft
from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentTest,
)
from services.registry.domain.draft import Numbered
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.model import Model, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.paging import Page, PageRequest
from services.registry.domain.test_suite import TestCase, TestSuiteVersion, TestSuiteVersionDraft

VersionT = TypeVar("VersionT", bound=Numbered)


class VersionStore(Protocol[VersionT]):
    """Numbered versions of one noun. Lists are newest first; a `request_id` is registered once."""

    async def find_request(self, request_id: str) -> VersionT | None:
        """Return what was registered by this request_id, or None; always None for an empty one."""

    async def named(self, text: str) -> VersionT:
        """Return the version that "<id>@<version>" or "<id>" names, or raise NotFound."""

    async def get_version(self, ref: VersionRef) -> VersionT | None:
        """Return the version, the newest when the reference has no number, or None."""

    async def delete_version(self, version: VersionT) -> None:
        """Remove a version, whose number is never given again; raises FailedPrecondition for one in use."""


class ModelStore(VersionStore[ModelVersion], Protocol):
    """Models and their versions."""

    async def add_version(self, draft: ModelVersionDraft) -> ModelVersion:
        """Give the draft the next number of its model, or return what its request_id was registered as."""

    async def list_versions(self, model_id: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions of one model, or of all when `model_id` is empty."""

    async def find_imported(self, source_digest: str) -> ModelVersion | None:
        """Return the newest base version that was imported from these bytes, or None."""

    async def find_source(self, uri: str) -> ModelVersion | None:
        """Return the newest base version that was imported from this URI, or None."""

    async def find_form(self, base_model_version_id: str, kind: ModelVersionKind) -> ModelVersion | None:
        """Return the newest version of a kind that is made of a version, or None."""

    async def find_exported(self, recipe_digest: str) -> ModelVersion | None:
        """Return the newest version that was exported from all that has this digest, or None."""

    async def get_model(self, model_id: str) -> Model | None:
        """Return the model, or None."""

    async def list_models(self, page: PageRequest) -> Page[Model]:
        """Return models by id."""


class DatasetStore(VersionStore[DatasetVersion], Protocol):
    """Dataset versions."""

    async def add_version(self, draft: DatasetVersionDraft) -> DatasetVersion:
        """Give the draft the next number of its dataset, or return what its request_id was registered as."""

    async def list_versions(self, dataset_id: str, page: PageRequest) -> Page[DatasetVersion]:
        """Return versions of one dataset, or of all when `dataset_id` is empty."""


class TestSuiteStore(VersionStore[TestSuiteVersion], Protocol):
    """Suite versions with their cases."""

    async def add_version(
        self, draft: TestSuiteVersionDraft, cases: Sequence[TestCase], *, version: int | None = None
    ) -> TestSuiteVersion:
        """Store it under the next number, or under `version`; or return what its request_id was registered as."""

    async def list_versions(
        self, test_suite_id: str, page: PageRequest, *, built_in_only: bool = False
    ) -> Page[TestSuiteVersion]:
        """Return versions of one suite, or of all when `test_suite_id` is empty."""

    async def list_cases(self, version_id: str, page: PageRequest, *, max_bytes: int) -> Page[TestCase]:
        """Return cases in the suite's order; the page ends after the case with which it reaches `max_bytes`."""


class DeploymentStore(Protocol):
    """Deployments; each is there until nothing of it is left."""

    async def add(self, request_id: str, spec: DeploymentSpec, backend: DeploymentBackend, suite: str) -> Deployment:
        """Store what was asked for, by what is to serve it and pass, or return what the request_id was used for."""

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


class Claims(Protocol):
    """Protects bytes that no version holds yet, over all replicas of the registry."""

    async def add(self, uri: str) -> str:
        """Protect the bytes that the registry keeps at `uri`, there already or soon, and return the claim's id."""

    async def end(self, claim_id: str, delete_bytes: Callable[[str], Awaitable[None]]) -> None:
        """End a claim; bytes that neither a version nor another claim holds are deleted before anyone else's turn."""

    async def abandoned(self) -> list[str]:
        """Return the claims whose holders have died; only at the start of a process."""

    async def expired(self) -> list[str]:
        """Return the claims that are older than any adoption; at any time."""

"""Use cases of models and their versions, and what keeps a version from being deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.chassis.artifacts import ArtifactStore
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import Job, JobState, JobStore
from services.registry.domain.identifiers import (
    check_model_id,
    check_produced_by,
    check_request_id,
    plain_id,
)
from services.registry.domain.model import (
    Model,
    ModelVersion,
    ModelVersionDraft,
    ModelVersionKind,
    check_base,
    check_lineage,
    inherited,
    model_not_found,
)
from services.registry.domain.paging import Page, PageRequest, page_request
from services.registry.ports import ModelFiles
from services.registry.ports.stores import ModelStore
from services.registry.usecases.adoption import Adoption
from services.registry.usecases.versions import VersionUseCases


class ModelUseCases(VersionUseCases[ModelVersion]):
    """Reads models and registers trained weights."""

    _id_field = "model_version_id"

    def __init__(
        self,
        store: ModelStore,
        artifacts: ArtifactStore,
        *,
        adoption: Adoption,
        files: ModelFiles,
        users: Sequence[JobUses] = (),
    ) -> None:
        super().__init__(store, adoption)
        self._store = store
        self._artifacts = artifacts
        self._files = files
        self._users = users

    async def get(self, model_id: str) -> Model:
        """Return one model.

        Raises:
            NotFound: There is none.
        """
        found = await self._store.get_model(plain_id(model_id))
        if found is None:
            raise model_not_found(model_id)
        return found

    async def list(self, page_size: int = 0, page_token: str = "") -> tuple[tuple[Model, ...], str]:
        """Return models by id."""
        page = await self._store.list_models(page_request(page_size, page_token))
        return page.items, page.next_token

    async def _check_free(self, version: ModelVersion) -> None:
        users = [name for user in self._users for name in await user.users_of(version.version_id)]
        if users:
            raise FailedPrecondition(
                f"{version.version_id} is used by {', '.join(users)}.", "Wait until that has ended, or cancel it first."
            )

    async def list_versions(self, model_id: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions, newest first, of one model or (empty id) of all.

        Raises:
            NotFound: The named model isn't there.
        """
        if model_id:
            await self.get(model_id)
        return await self._store.list_versions(model_id, page)

    async def create_version(self, draft: ModelVersionDraft) -> ModelVersion:
        """Adopt the draft's bytes, check them and register the version; its facts are read from its files.

        Raises:
            InvalidArgument: A field is wrong, or the files aren't a model of that kind.
            NotFound: The base isn't there.
            AlreadyExists: The request_id was used with other words.
            FailedPrecondition: The bytes aren't there or differ from what is claimed.
        """
        check_model_id(draft.model_id)
        check_request_id(draft.request_id)
        check_produced_by(draft.produced_by)
        check_lineage(draft.kind, draft.base_model_version_id)
        known = await self._store.find_request(draft.request_id)
        if known is not None:
            draft.check_same(known)
            return known
        base = await self._base(draft)
        async with self._adoption.adopted(draft.artifact) as artifact:
            folder = await self._artifacts.local_path(artifact.uri)
            facts = inherited(await self._files.facts_of(folder, draft.kind), base)
            return await self._store.add_version(replace(draft, artifact=artifact, facts=facts))

    async def _base(self, draft: ModelVersionDraft) -> ModelVersion | None:
        if draft.kind is ModelVersionKind.BASE:
            return None
        base = await self.get_version(draft.base_model_version_id)
        check_base(draft, base)
        return base


_PAGE_SIZE = 200
_FIELDS = ("model_version_id", "base_model_version_id")


class JobUses:
    """Jobs that have not ended and read a version.

    Args:
        jobs: Where they are kept.
        kinds: Of the jobs, which name what they read in their specs or, once they have found it, in what they save.
    """

    def __init__(self, jobs: JobStore, kinds: tuple[str, ...]) -> None:
        self._jobs = jobs
        self._kinds = kinds

    async def users_of(self, version_id: str) -> list[str]:
        """Return the jobs in words, such as "the export 4f2a…"."""
        users = []
        for (kind, state), num_jobs in (await self._jobs.count()).items():
            if kind in self._kinds and num_jobs and not JobState(state).is_final:
                users += await self._open_jobs(kind, JobState(state), version_id)
        return sorted(users)

    async def _open_jobs(self, kind: str, state: JobState, version_id: str) -> list[str]:
        users, token = [], ""
        while True:
            jobs, token = await self._jobs.list(kind, _PAGE_SIZE, token)
            users += [f"the {kind} {job.job_id}" for job in jobs if job.state is state and _reads(job, version_id)]
            if not token:
                return users


def _reads(job: Job, version_id: str) -> bool:
    words = {**job.spec, **(job.saved or {})}
    return any(words.get(field) == version_id for field in _FIELDS)

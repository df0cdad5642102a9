"""Models and their versions in the registry's database."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.artifacts import Artifact
from services.chassis.database import item_of
from services.chassis.database.lease import durable
from services.chassis.errors import FailedPrecondition
from services.chassis.wire.paging import page_of, place_of
from services.registry.domain.export import EXPORTED
from services.registry.domain.model import (
    Model,
    ModelFacts,
    ModelVersion,
    ModelVersionDraft,
    ModelVersionKind,
    model_version_not_found,
)
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.served import refuse_if_served
from services.registry.store.tables import MODEL_VERSIONS
from services.registry.store.versions import SqlVersionStore


@durable
class SqlModelStore(SqlVersionStore[ModelVersionDraft, ModelVersion]):
    """A model is there as soon as it has a version."""

    _table = MODEL_VERSIONS
    _version_class = ModelVersion
    _owner_field = "model_id"
    _not_found = staticmethod(model_version_not_found)

    async def add_version(self, draft: ModelVersionDraft) -> ModelVersion:
        """Give the draft the next number of its model, or return what its request_id was registered as.

        Raises:
            AlreadyExists: The request_id was used with other words.
        """
        async with self._database.session() as session:
            return (await self._add(session, draft))[0]

    async def list_versions(self, model_id: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions of one model, or of all when `model_id` is empty."""
        return await self._page(model_id, page)

    async def find_imported(self, source_digest: str) -> ModelVersion | None:
        """Return the newest base version that was imported from these bytes, or None."""
        c = MODEL_VERSIONS.c
        return await self._newest(c.source_digest == source_digest, c.kind == ModelVersionKind.BASE.value)

    async def find_source(self, uri: str) -> ModelVersion | None:
        """Return the newest base version that was imported from this URI, or None."""
        c = MODEL_VERSIONS.c
        return await self._newest(c.source_uri == uri, c.kind == ModelVersionKind.BASE.value)

    async def find_form(self, base_model_version_id: str, kind: ModelVersionKind) -> ModelVersion | None:
        """Return the newest version of a kind that is made of a version, or None."""
        c = MODEL_VERSIONS.c
        return await self._newest(c.base_version_id == base_model_version_id, c.kind == kind.value)

    async def find_exported(self, recipe_digest: str) -> ModelVersion | None:
        """Return the newest version that was exported from all that has this digest, or None."""
        c = MODEL_VERSIONS.c
        return await self._newest(c.source_digest == recipe_digest, c.produced_by.startswith(EXPORTED))

    async def get_model(self, model_id: str) -> Model | None:
        """Return the model, or None."""
        async with self._database.reading() as session:
            rows = await session.execute(_models().where(MODEL_VERSIONS.c.owner_id == model_id))
            row = rows.mappings().one_or_none()
        return None if row is None else item_of(Model, row)

    async def list_models(self, page: PageRequest) -> Page[Model]:
        """Return models by id."""
        owner_id = MODEL_VERSIONS.c.owner_id
        query = _models().where(owner_id > place_of(page.token, "")).order_by(owner_id).limit(page.size + 1)
        async with self._database.reading() as session:
            rows = (await session.execute(query)).mappings().all()
        shown, token = page_of([item_of(Model, row) for row in rows], page.size, lambda model: model.model_id)
        return Page(tuple(shown), token)

    async def _let_go(self, session: AsyncSession, version_id: str) -> None:
        await refuse_if_served(session, version_id)
        c = MODEL_VERSIONS.c
        made_of_it = select(c.version_id).where(c.base_version_id == version_id).order_by(c.ordinal).limit(5)
        names = (await session.execute(made_of_it)).scalars().all()
        if names:
            raise FailedPrecondition(f"{', '.join(names)} is made of {version_id}.", "Delete what is made of it first.")

    def _more_columns(self, draft: ModelVersionDraft) -> dict[str, Any]:
        source = draft.source
        return {
            "base_version_id": draft.base_model_version_id or None,
            "source_uri": source and source.uri,
            "source_digest": source and source.digest,
            "source_size_bytes": source and source.size_bytes,
            **asdict(draft.facts),
        }

    def _more_fields(self, row: RowMapping) -> dict[str, Any]:
        source = (row["source_uri"], row["source_digest"], row["source_size_bytes"])
        return {
            "base_model_version_id": row["base_version_id"] or "",
            "source": None if source[0] is None else Artifact(*source),
            "facts": item_of(ModelFacts, row),
        }


def _models() -> Select[Any]:
    columns = MODEL_VERSIONS.c
    return select(
        columns.owner_id.label("model_id"),
        func.max(columns.version).label("latest_version"),
        func.min(columns.create_time).label("create_time"),
    ).group_by(columns.owner_id)

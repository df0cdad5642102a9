"""Models and their versions in the registry's database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, Select, func, select

from services.chassis.artifacts import Artifact
from services.chassis.database import Database
from services.registry.domain.identifiers import VersionRef
from services.registry.domain.model import Model, ModelFacts, ModelVersion, ModelVersionDraft, ModelVersionKind
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.tables import MODEL_VERSIONS
from services.registry.store.versions import VersionTable, shared_fields, utc


class SqlModelStore:
    """A model is there as soon as it has a version."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._versions = VersionTable(database, MODEL_VERSIONS, columns_of=_columns, read=_version)
        self.find_request = self._versions.find_request
        self.holds = self._versions.holds

    async def add_version(self, draft: ModelVersionDraft) -> ModelVersion:
        """Give the draft the next number of its model, or return what its request_id was registered as."""
        async with self._database.session() as session:
            version, _ = await self._versions.add(session, draft)
        return version

    async def get_version(self, ref: VersionRef) -> ModelVersion | None:
        """Return the version, or None."""
        return await self._versions.get(ref)

    async def list_versions(self, model_id: str, page: PageRequest) -> Page[ModelVersion]:
        """Return versions of one model, or of all when `model_id` is empty."""
        return await self._versions.page(model_id, page)

    async def find_imported(self, source_digest: str) -> ModelVersion | None:
        """Return the newest base version that was imported from these bytes, or None."""
        return await self._versions.newest(
            MODEL_VERSIONS.c.source_digest == source_digest,
            MODEL_VERSIONS.c.kind == ModelVersionKind.BASE.value,
        )

    async def get_model(self, model_id: str) -> Model | None:
        """Return the model, or None."""
        async with self._database.reading() as session:
            found = _models().where(MODEL_VERSIONS.c.owner_id == model_id)
            row = (await session.execute(found)).mappings().one_or_none()
        return None if row is None else _model(row)

    async def list_models(self, page: PageRequest) -> Page[Model]:
        """Return models by id; the token is the last id of the page before."""
        found = _models().where(MODEL_VERSIONS.c.owner_id > page.token)
        found = found.order_by(MODEL_VERSIONS.c.owner_id).limit(page.size + 1)
        async with self._database.reading() as session:
            rows = (await session.execute(found)).mappings().all()
        shown = tuple(_model(row) for row in rows[: page.size])
        return Page(shown, shown[-1].model_id if len(rows) > page.size else "")


def _models() -> Select[Any]:
    columns = MODEL_VERSIONS.c
    return select(
        columns.owner_id,
        func.max(columns.version).label("latest_version"),
        func.min(columns.create_time).label("create_time"),
    ).group_by(columns.owner_id)


def _model(row: RowMapping) -> Model:
    return Model(row["owner_id"], row["latest_version"], utc(row["create_time"]))


def _columns(draft: ModelVersionDraft) -> dict[str, Any]:
    source = draft.source
    return {
        "kind": draft.kind.value,
        "base_version_id": draft.base_model_version_id or None,
        "source_uri": source and source.uri,
        "source_digest": source and source.digest,
        "source_size_bytes": source and source.size_bytes,
        "architecture": draft.facts.architecture,
        "num_parameters": draft.facts.num_parameters,
        "context_length": draft.facts.context_length,
    }


def _version(row: RowMapping) -> ModelVersion:
    has_source = row["source_uri"] is not None
    return ModelVersion(
        **shared_fields(row),
        model_id=row["owner_id"],
        kind=ModelVersionKind(row["kind"]),
        base_model_version_id=row["base_version_id"] or "",
        source=Artifact(row["source_uri"], row["source_digest"], row["source_size_bytes"]) if has_source else None,
        facts=ModelFacts(row["architecture"], row["num_parameters"], row["context_length"]),
    )

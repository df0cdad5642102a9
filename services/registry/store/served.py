"""What uses a version: the aliases as they stand now, and deployments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import item_of
from services.chassis.errors import FailedPrecondition
from services.registry.domain.deployment import (
    Alias,
    Deployment,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    DeploymentTest,
    DeploymentTestOutcome,
    deployment_not_found,
)
from services.registry.domain.model import ModelVersionKind, model_version_not_found
from services.registry.store.tables import ALIAS_MOVES, DEPLOYMENTS, MODEL_VERSIONS

_NUM_NAMED = 5


async def current_aliases(session: AsyncSession, *conditions: Any, limit: int | None = None) -> list[Alias]:
    """Return the aliases that fulfil conditions on their moves, each as it stands now, by id."""
    c = ALIAS_MOVES.c
    newest = (
        select(c.alias_id, func.max(c.revision).label("revision")).where(*conditions).group_by(c.alias_id).subquery()
    )
    before = ALIAS_MOVES.alias()
    query = (
        select(ALIAS_MOVES, func.coalesce(before.c.model_version_id, "").label("previous_model_version_id"))
        .join(newest, (newest.c.alias_id == c.alias_id) & (newest.c.revision == c.revision))
        .outerjoin(before, (before.c.alias_id == c.alias_id) & (before.c.revision == c.previous_revision))
        .where(c.model_version_id != "")
        .order_by(c.alias_id)
    )
    return [item_of(Alias, row) for row in (await session.execute(query.limit(limit))).mappings()]


async def get_deployment(session: AsyncSession, deployment_id: str, *, alone: bool | None = None) -> Deployment:
    """Return a deployment; with `alone` its row is held until the transaction ends, by this one only if it is true.

    Raises:
        NotFound: There is none.
    """
    query = select(DEPLOYMENTS).where(DEPLOYMENTS.c.deployment_id == deployment_id)
    if alone is not None:
        query = query.with_for_update(read=not alone)
    row = (await session.execute(query)).mappings().one_or_none()
    if row is None:
        raise deployment_not_found(deployment_id)
    return deployment_of(row)


def deployment_of(row: Mapping[Any, Any]) -> Deployment:
    """Return the deployment of a row."""
    test = row["test"] or {}
    outcome = DeploymentTestOutcome(test.get("outcome", DeploymentTestOutcome.UNSPECIFIED))
    told = DeploymentTest(**{**test, "outcome": outcome})
    deployment = item_of(Deployment, row, spec=item_of(DeploymentSpec, row), test=told)
    is_testing = row["is_testing"] and deployment.state is DeploymentState.STARTING
    state = DeploymentState.TESTING if is_testing else deployment.state
    # A replica of the release before says READY, whatever the suite says.
    status = deployment.tested(DeploymentStatus(state, deployment.reason, deployment.base_url))
    return replace(deployment, request_id=row["request_id"] or "", state=status.state, reason=status.reason)


async def hold_version(session: AsyncSession, model_version_id: str, *, alone: bool = False) -> None:
    """Keep a version from being deleted until the transaction ends; `alone` waits for others that do the same.

    Raises:
        NotFound: There is none.
    """
    c = MODEL_VERSIONS.c
    query = select(c.version_id).where(c.version_id == model_version_id).with_for_update(read=not alone)
    if (await session.execute(query)).first() is None:
        raise model_version_not_found(model_version_id)


async def refuse_if_served(session: AsyncSession, model_version_id: str) -> None:
    """Return when no alias and no deployment uses a version, and keep new ones away until the transaction ends.

    A server of a GGUF adapter uses the GGUF form that it puts it on too.

    Raises:
        FailedPrecondition: One does; the error names it.
    """
    await hold_version(session, model_version_id, alone=True)
    aliases = [alias.alias_id for alias in await current_aliases(session) if model_version_id in alias.used_version_ids]
    if aliases:
        raise FailedPrecondition(
            f"{model_version_id} is used by the alias {listed(aliases)}: now, as a shadow, or after a rollback.",
            "Point the alias elsewhere with `drillyard aliases set`, or delete it.",
        )
    served = DEPLOYMENTS.c.model_version_id
    serving = (served == model_version_id) | served.in_(_adapters_on(model_version_id))
    query = select(DEPLOYMENTS.c.deployment_id).where(serving).order_by(DEPLOYMENTS.c.deployment_id)
    if deployments := (await session.execute(query)).scalars().all():
        raise FailedPrecondition(
            f"{model_version_id} is served by the deployment {listed(deployments)}.",
            "Delete that first with `drillyard deployments delete`.",
        )


def _adapters_on(form_id: str) -> Select[tuple[str]]:
    """Return a query for the GGUF adapters that a server puts on a GGUF form: those of the weights it was made of."""
    form, adapter, trained = MODEL_VERSIONS.alias(), MODEL_VERSIONS.alias(), MODEL_VERSIONS.alias()
    is_adapter = trained.c.kind == ModelVersionKind.ADAPTER.value
    weights_id = case((is_adapter, trained.c.base_version_id), else_=trained.c.version_id)
    return (
        select(adapter.c.version_id)
        .join(trained, trained.c.version_id == adapter.c.base_version_id)
        .join(form, form.c.base_version_id == weights_id)
        .where(adapter.c.kind == ModelVersionKind.GGUF_ADAPTER.value)
        .where(form.c.version_id == form_id, form.c.kind == ModelVersionKind.GGUF.value)
    )


def listed(names: Collection[str]) -> str:
    """Return the first of these names."""
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(list(names)[:_NUM_NAMED]) + more

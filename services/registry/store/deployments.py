"""Deployments in the registry's database, and which replica looks after them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Float, cast, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, row_of
from services.chassis.database.rows import insert_if_absent
from services.chassis.errors import FailedPrecondition
from services.chassis.machine.caller import current_workspace, refuse_beyond_quota
from services.chassis.wire.paging import LAST_PLACE, page_of, place_of
from services.registry.domain.deployment import (
    Deployment,
    DeploymentBackend,
    DeploymentSpec,
    DeploymentState,
    DeploymentStatus,
    DeploymentTest,
    DeploymentTestOutcome,
    check_same_spec,
    new_deployment_id,
)
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.served import current_aliases, deployment_of, get_deployment, hold_version, listed
from services.registry.store.tables import DEPLOYMENTS, RECONCILERS

_C = DEPLOYMENTS.c
_STOPPING = DeploymentState.STOPPING.value
_WAITS = "It waits until test-runner has an answer of it."


class SqlDeploymentStore:
    """One row per deployment; it is there until nothing of the deployment is left."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, request_id: str, spec: DeploymentSpec, backend: DeploymentBackend, suite: str) -> Deployment:
        """Store a deployment, or return what the request_id was used for.

        Args:
            request_id: Empty for none.
            spec: What was asked for.
            backend: What is to serve it.
            suite: The version of the suite that it must pass; empty for none.

        Raises:
            NotFound: There is no such version any more.
            AlreadyExists: The request_id was used with another spec.
            QuotaExceeded: The workspace has no room for its test.
        """
        now = datetime.now(UTC)
        row = {
            **row_of(replace(spec, backend=backend, test_suite_version_id=suite), DEPLOYMENTS),
            "asked_backend": spec.backend.value,
            "asked_test_suite": spec.test_suite_version_id,
            "deployment_id": new_deployment_id(spec.model_version_id),
            "request_id": request_id or None,
            "state": DeploymentState.STARTING.value,
            "reason": _WAITS if backend is DeploymentBackend.WORKER else "",
            "base_url": "",
            "workspace_id": current_workspace.get(),
            "create_time": now,
            "update_time": now,
        }
        async with self._database.session() as session:
            await hold_version(session, spec.model_version_id)
            if suite and not await _is_known(session, request_id):
                refuse_beyond_quota()
            is_new = await insert_if_absent(session, DEPLOYMENTS, row)
            is_it = _C.deployment_id == row["deployment_id"] if is_new else _C.request_id == request_id
            stored = (await session.execute(select(DEPLOYMENTS).where(is_it))).mappings().one()
            deployment = deployment_of(stored)
            check_same_spec(_asked(stored, deployment.spec, spec), spec)
            return deployment

    async def get(self, deployment_id: str) -> Deployment:
        """Return one deployment.

        Raises:
            NotFound: There is none.
        """
        async with self._database.reading() as session:
            return await get_deployment(session, deployment_id)

    async def list(self, page: PageRequest) -> Page[Deployment]:
        """Return deployments, newest first."""
        query = select(DEPLOYMENTS).where(_C.ordinal < place_of(page.token, LAST_PLACE)).order_by(_C.ordinal.desc())
        async with self._database.reading() as session:
            rows = (await session.execute(query.limit(page.size + 1))).mappings().all()
        entries, token = page_of(rows, page.size, lambda row: int(row["ordinal"]))
        return Page(tuple(map(deployment_of, entries)), token)

    async def all(self) -> tuple[Deployment, ...]:
        """Return all deployments."""
        async with self._database.reading() as session:
            return tuple(map(deployment_of, (await session.execute(select(DEPLOYMENTS))).mappings()))

    async def tell(self, deployment_id: str, status: DeploymentStatus) -> None:
        """Store how a deployment stands, unless it is being taken down."""
        row = _row_of_status(status)
        is_meant = (_C.deployment_id == deployment_id) & (_C.state != _STOPPING)
        async with self._database.session() as session:
            await session.execute(update(DEPLOYMENTS).where(is_meant).values(row))

    async def tell_test(self, deployment_id: str, test: DeploymentTest) -> None:
        """Store how a deployment does on its suite, unless that has ended; where it answers, its state follows.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has no suite to pass.
        """
        async with self._database.session() as session:
            deployment = await get_deployment(session, deployment_id, alone=True)
            deployment.check_has_test()
            if deployment.test.outcome is not DeploymentTestOutcome.UNSPECIFIED:
                return
            status = DeploymentStatus(deployment.state, deployment.reason, deployment.base_url)
            status = replace(deployment, test=test).tested(status)
            row = {**_row_of_status(status), "test": asdict(test)}
            await session.execute(update(DEPLOYMENTS).where(_C.deployment_id == deployment_id).values(row))

    async def stop(self, deployment_id: str) -> None:
        """Let a deployment be taken down.

        Raises:
            NotFound: There is none.
            FailedPrecondition: An alias points at it.
        """
        row = {"state": _STOPPING, "reason": "", "update_time": datetime.now(UTC)}
        async with self._database.session() as session:
            await get_deployment(session, deployment_id, alone=True)
            aliases = await current_aliases(session)
            if names := [alias.alias_id for alias in aliases if alias.deployment_id == deployment_id]:
                raise FailedPrecondition(
                    f"The deployment {deployment_id} answers to the alias {listed(names)}.",
                    "Point the alias elsewhere with `drillyard aliases set`, or delete it.",
                )
            await session.execute(update(DEPLOYMENTS).where(_C.deployment_id == deployment_id).values(row))

    async def remove(self, deployment_id: str) -> None:
        """Forget a deployment of which nothing is left."""
        async with self._database.session() as session:
            await session.execute(delete(DEPLOYMENTS).where(_C.deployment_id == deployment_id))

    async def is_reconciler(self, owner: str, seconds: float) -> bool:
        """Whether this process looks after the deployments for so long from now, and no other replica does."""
        # SQLite has one process anyway.
        if self._database.is_sqlite:
            return True
        # Only installations with PostgreSQL pay for this import.
        from sqlalchemy.dialects import postgresql

        now, c = cast(func.extract("epoch", func.clock_timestamp()), Float), RECONCILERS.c
        values = {"owner": owner, "until": now + seconds}
        claim = postgresql.insert(RECONCILERS).values(name="deployments", **values)
        is_free = (c.owner == owner) | (c.until < now)
        claim = claim.on_conflict_do_update(index_elements=[c.name], set_=values, where=is_free)
        async with self._database.session() as session:
            return (await session.execute(claim.returning(c.owner))).first() is not None


def _asked(row: Mapping[Any, Any], known: DeploymentSpec, spec: DeploymentSpec) -> DeploymentSpec:
    """Return with which words a row was asked for; where it doesn't tell its suite's, those of `spec`."""
    known, suite = replace(known, backend=DeploymentBackend(row["asked_backend"])), row["asked_test_suite"]
    if suite is not None:
        return replace(known, test_suite_version_id=suite)
    return replace(
        known,
        test_suite_version_id=spec.test_suite_version_id,
        minimum_rate=spec.minimum_rate,
        without_test=spec.without_test,
    )


def _row_of_status(status: DeploymentStatus) -> dict[str, Any]:
    is_testing = status.state is DeploymentState.TESTING
    state = DeploymentState.STARTING if is_testing else status.state
    return {**asdict(status), "state": state.value, "is_testing": is_testing, "update_time": datetime.now(UTC)}


async def _is_known(session: AsyncSession, request_id: str) -> bool:
    query = select(_C.deployment_id).where(_C.request_id == request_id)
    return bool(request_id) and (await session.execute(query)).first() is not None

"""Aliases in the registry's database: every move is a row, and where an alias points is its newest one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, item_of, row_of
from services.chassis.database.rows import insert_if_absent
from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.wire.paging import page_of, place_of
from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentState,
    alias_not_found,
    moved_before,
)
from services.registry.domain.paging import Page, PageRequest
from services.registry.store.served import current_aliases, get_deployment, hold_version
from services.registry.store.tables import ALIAS_MOVES

_C = ALIAS_MOVES.c
_Row = Mapping[Any, Any]


class SqlAliasStore:
    """Two callers that saw the same revision write the same key, which one of them gets, whichever replica they ask."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, alias_id: str) -> Alias:
        """Return one alias.

        Raises:
            NotFound: There is none.
        """
        async with self._database.reading() as session:
            return await self._current(session, alias_id)

    async def list(self, page: PageRequest) -> Page[Alias]:
        """Return aliases by id."""
        async with self._database.reading() as session:
            later = _C.alias_id > place_of(page.token, "")
            aliases = await current_aliases(session, later, limit=page.size + 1)
        entries, token = page_of(aliases, page.size, lambda alias: alias.alias_id)
        return Page(tuple(entries), token)

    async def history(self, alias_id: str) -> tuple[AliasMove, ...]:
        """Return all moves of an alias, newest first; one without a version deleted it."""
        query = select(ALIAS_MOVES).where(_C.alias_id == alias_id).order_by(_C.revision.desc())
        async with self._database.reading() as session:
            return tuple(item_of(AliasMove, row) for row in (await session.execute(query)).mappings())

    async def set(self, move: AliasMove, expected_revision: int) -> Alias:
        """Make a move, in one step.

        Raises:
            NotFound: A version or the deployment is not there.
            FailedPrecondition: The deployment is not ready, or serves another version.
            Aborted: The alias does not stand at `expected_revision`, which is 0 for one that is not there.
        """
        async with self._database.session() as session:
            await hold_version(session, move.model_version_id)
            if move.shadow_model_version_id:
                await hold_version(session, move.shadow_model_version_id)
            if move.deployment_id:
                deployment = await get_deployment(session, move.deployment_id, alone=False)
                deployment.check_answers_as(move.model_version_id)
            newest = await self._newest(session, move.alias_id)
            # A move that changes the deployment or the shadow alone keeps the evidence and what a rollback goes to.
            is_other = newest is not None and newest["model_version_id"] not in ("", move.model_version_id)
            previous = newest["revision"] if newest and is_other else _previous(newest)
            if newest and newest["model_version_id"] == move.model_version_id and not move.evaluation_ids:
                move = replace(move, evaluation_ids=tuple(newest["evaluation_ids"]))
            await self._move(session, move, newest, expected_revision, previous=previous)
            return await self._current(session, move.alias_id)

    async def rollback(self, alias_id: str, expected_revision: int) -> Alias:
        """Point an alias at its version before; where the deployment of then is gone, test-runner's workers answer.

        Raises:
            NotFound: There is no such alias, or the version is gone.
            FailedPrecondition: There is no version before.
            Aborted: The alias does not stand at `expected_revision`.
        """
        async with self._database.session() as session:
            if (revision := (await self._current(session, alias_id)).revision) != expected_revision:
                raise moved_before(alias_id, revision)
            newest = await self._newest(session, alias_id)
            target = await self._newest(session, alias_id, _C.revision == _previous(newest))
            if target is None:
                raise FailedPrecondition(
                    f"The alias {alias_id} has no version before.", "Point it with `drillyard aliases set`."
                )
            move = item_of(AliasMove, target)
            await hold_version(session, move.model_version_id)
            if not await _answers(session, move):
                move = replace(move, deployment_id="")
            await self._move(session, move, newest, expected_revision, previous=_previous(target))
            return await self._current(session, alias_id)

    async def delete(self, alias_id: str) -> None:
        """Remove a name; its moves stay.

        Raises:
            NotFound: There is none.
        """
        async with self._database.session() as session:
            revision = (await self._current(session, alias_id)).revision
            gone = AliasMove(alias_id, "", "", (), "")
            await self._move(session, gone, await self._newest(session, alias_id), revision, previous=0)

    async def _move(
        self, session: AsyncSession, move: AliasMove, newest: _Row | None, expected: int, *, previous: int
    ) -> None:
        revision = newest["revision"] if newest else 0
        seen = revision if newest and newest["model_version_id"] else 0
        row = row_of(
            move, ALIAS_MOVES, revision=revision + 1, previous_revision=previous, update_time=datetime.now(UTC)
        )
        row["evaluation_ids"] = list(move.evaluation_ids)
        if seen != expected or not await insert_if_absent(session, ALIAS_MOVES, row):
            raise moved_before(move.alias_id, seen)

    async def _current(self, session: AsyncSession, alias_id: str) -> Alias:
        aliases = await current_aliases(session, _C.alias_id == alias_id)
        if not aliases:
            raise alias_not_found(alias_id)
        return aliases[0]

    async def _newest(self, session: AsyncSession, alias_id: str, *conditions: Any) -> _Row | None:
        query = select(ALIAS_MOVES).where(_C.alias_id == alias_id, *conditions).order_by(_C.revision.desc()).limit(1)
        return (await session.execute(query)).mappings().one_or_none()


def _previous(row: _Row | None) -> int:
    return int(row["previous_revision"]) if row else 0


async def _answers(session: AsyncSession, move: AliasMove) -> bool:
    if not move.deployment_id:
        return True
    try:
        deployment: Deployment = await get_deployment(session, move.deployment_id, alone=False)
    except NotFound:
        return False
    return deployment.state is DeploymentState.READY

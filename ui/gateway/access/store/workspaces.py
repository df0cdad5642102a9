"""Workspaces in the accounts' database."""

from __future__ import annotations

from sqlalchemy import delete, select, update

from services.chassis.database import Database, insert_if_absent, item_of, row_of
from ui.gateway.access.store.tables import API_KEYS, USERS, WORKSPACES
from ui.gateway.access.workspaces.workspace import Workspace

_QUOTAS = ("max_jobs", "max_tokens", "max_bytes")


class SqlWorkspaces:
    """Workspaces in SQLite or PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Workspace]:
        """Return all workspaces by name."""
        async with self._database.reading() as session:
            rows = await session.execute(select(WORKSPACES).order_by(WORKSPACES.c.workspace_id))
            return [item_of(Workspace, row) for row in rows.mappings()]

    async def set(self, workspace: Workspace) -> Workspace:
        """Store a new workspace, or the quotas of one that there is, and return it as it is stored."""
        of_name = WORKSPACES.c.workspace_id == workspace.workspace_id
        row = row_of(workspace, WORKSPACES)
        async with self._database.session() as session:
            await insert_if_absent(session, WORKSPACES, row)
            change = update(WORKSPACES).where(of_name).values({name: row[name] for name in _QUOTAS})
            stored = await session.execute(change.returning(WORKSPACES))
            return item_of(Workspace, stored.mappings().one())

    async def members(self, workspace_id: str) -> list[str]:
        """Return who belongs to a workspace: keys that were not revoked, and users."""
        keys = select(API_KEYS.c.key_id).where(
            API_KEYS.c.workspace_id == workspace_id, API_KEYS.c.revoke_time.is_(None)
        )
        users = select(USERS.c.user_id).where(USERS.c.workspace_id == workspace_id)
        async with self._database.reading() as session:
            names = [("key", await session.execute(keys)), ("user", await session.execute(users))]
            return [f"{kind}:{name}" for kind, rows in names for name in rows.scalars()]

    async def delete(self, workspace_id: str) -> None:
        """Forget a workspace, if it is there."""
        async with self._database.session() as session:
            await session.execute(delete(WORKSPACES).where(WORKSPACES.c.workspace_id == workspace_id))

"""The workspaces of a gateway that asks for a login."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.chassis.machine.caller import DEFAULT_WORKSPACE
from ui.gateway.access.caller import Caller
from ui.gateway.access.workspaces.workspace import UNLIMITED, Workspace

if TYPE_CHECKING:
    from ui.gateway.access.store.workspaces import SqlWorkspaces

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
MAX_QUOTA = 10**18


class Workspaces:
    """Workspaces are made, listed and given quotas here; the default one is always there."""

    def __init__(self, store: SqlWorkspaces) -> None:
        self._store = store

    async def get(self, workspace_id: str) -> Workspace:
        """Return a workspace.

        Raises:
            NotFound: There is none of that name.
        """
        known = {workspace.workspace_id: workspace for workspace in await self.all()}
        if workspace_id not in known:
            raise NotFound(
                f"There is no workspace {workspace_id[:100]!a}.",
                f"An admin makes one with `drillyard workspaces set NAME`; there are {', '.join(known)}.",
                field="workspace_id",
            )
        return known[workspace_id]

    async def all(self) -> list[Workspace]:
        """Return all workspaces, by name, the default one first."""
        stored = await self._store.all()
        default = [workspace for workspace in stored if workspace.workspace_id == DEFAULT_WORKSPACE] or [UNLIMITED]
        return default + [workspace for workspace in stored if workspace.workspace_id != DEFAULT_WORKSPACE]

    async def set_quotas(self, workspace_id: str, quotas: tuple[int, int, int], *, creator: Caller) -> Workspace:
        """Give a workspace quotas of jobs, tokens and bytes, and make it where there is none.

        Raises:
            InvalidArgument: The name has no such form, or a quota is out of bounds.
        """
        if not _NAME.fullmatch(workspace_id):
            raise InvalidArgument(
                f"{workspace_id[:100]!a} is no name of a workspace.",
                "Use up to 40 of a-z, 0-9 and inner hyphens.",
                field="workspace_id",
            )
        if any(not 0 <= quota <= MAX_QUOTA for quota in quotas):
            raise InvalidArgument("A quota is out of bounds.", f"Use 0 (none) to {MAX_QUOTA}.")
        fresh = Workspace(workspace_id, creator.name, datetime.now(UTC), *quotas)
        stored = await self._store.set(fresh)
        return replace(fresh, creator=stored.creator, create_time=stored.create_time)

    async def delete(self, workspace_id: str) -> None:
        """Forget a workspace; what was made in it stays, and still names it.

        Raises:
            NotFound: There is none of that name.
            FailedPrecondition: A key or a person belongs to it, or it is the default one.
        """
        await self.get(workspace_id)
        if workspace_id == DEFAULT_WORKSPACE:
            raise FailedPrecondition("The default workspace stays.", "Set its quotas to 0 instead.")
        if members := await self._store.members(workspace_id):
            raise FailedPrecondition(
                f"The workspace {workspace_id} has members: {', '.join(members[:5])}.",
                "Revoke these keys and delete these users first.",
            )
        await self._store.delete(workspace_id)

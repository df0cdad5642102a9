"""The audit log: who did what, when, and how it ended."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from services.chassis.errors import ServiceError
from ui.gateway.access.accounts import AuditEvent
from ui.gateway.access.caller import printable

if TYPE_CHECKING:
    from ui.gateway.access.store.audit import SqlAudit

_WRITE_SECONDS = 0.5
_MAX_WAITING = 10_000
_log = structlog.get_logger()


class AuditLog:
    """Takes events at once and writes them soon, with the times at which keys were last used.

    What a process was killed before writing, half a second's worth, is lost.
    """

    def __init__(self, store: SqlAudit, days: float) -> None:
        self._store, self._kept = store, timedelta(days=days)
        self._waiting: deque[AuditEvent] = deque(maxlen=_MAX_WAITING)
        self._uses: dict[str, datetime] = {}
        self._turn = asyncio.Lock()

    def note(self, caller: str, address: str, action: str, status: int) -> None:
        """Append an event."""
        if len(self._waiting) == _MAX_WAITING:
            _log.warning("audit_event_lost", reason="too many wait to be written")
        self._waiting.append(AuditEvent(0, datetime.now(UTC), printable(caller), address, printable(action), status))

    def note_use(self, key_id: str) -> None:
        """Say that a key was used now."""
        self._uses[key_id] = datetime.now(UTC)

    async def events(self, *, caller: str = "", before: int = 0, limit: int = 100) -> list[AuditEvent]:
        """Return events, newest first.

        Args:
            caller: Name of the caller; empty for all.
            before: Place in the log below which to begin; 0 for the newest.
            limit: Most events.
        """
        await self._write()
        return await self._store.events(caller=caller, before=before, limit=limit)

    async def keep_writing(self) -> None:
        """Write for as long as the gateway runs, and what is left when it ends."""
        try:
            while True:
                await asyncio.sleep(_WRITE_SECONDS)
                await self._write()
        finally:
            await self._write()

    async def _write(self) -> None:
        # Whoever reads next must find what another one is writing.
        async with self._turn:
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        if not self._waiting and not self._uses:
            return
        events, uses = list(self._waiting), dict(self._uses)
        self._waiting.clear()
        self._uses.clear()
        try:
            await self._store.note(events, uses, datetime.now(UTC) - self._kept)
        except (ServiceError, asyncio.CancelledError) as error:
            self._waiting.extendleft(reversed(events))
            if not isinstance(error, ServiceError):
                raise
            _log.warning("audit_waits", reason=error.problem)

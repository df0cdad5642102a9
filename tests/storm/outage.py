"""An outage that meets a job of every kind: each is claimed, then all databases are away, then the work begins."""

from __future__ import annotations

import asyncio

from tests.storm.asking.callers import Callers
from tests.storm.databases import Databases
from tests.storm.ledger import Ledger
from tests.storm.stack import SERVICES, Stack

_PREFIX = "storm/outage"
_LOOK_SECONDS, _CLAIM_SECONDS = 0.2, 300.0


async def outage(stack: Stack, callers: Callers, ledger: Ledger, seconds: float) -> None:
    """Take all databases away for `seconds` from jobs that have not written yet; their end is not waited for."""
    stack.gate_path.touch()
    await callers.one_of_each(_PREFIX)
    asked = {entry.job_id: entry.service for entry in ledger.jobs().values() if entry.request_id.startswith(_PREFIX)}
    async with asyncio.timeout(_CLAIM_SECONDS):
        while not await asyncio.to_thread(_are_claimed, stack.databases, asked):
            await asyncio.sleep(_LOOK_SECONDS)
    # One server may hold the databases of all.
    places = SERVICES[:1] if stack.databases.is_shared else SERVICES
    ending = asyncio.gather(*[stack.take_database_away(service, seconds) for service in places])
    await asyncio.sleep(min(_LOOK_SECONDS, seconds))
    stack.gate_path.unlink()
    await ending


def _are_claimed(databases: Databases, asked: dict[str, str]) -> bool:
    claimed = {
        row["job_id"]
        for service in SERVICES
        for row in databases.read(service, "SELECT job_id FROM jobs WHERE state = 'RUNNING'")
    }
    return asked.keys() <= claimed

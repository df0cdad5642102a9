"""Looking after deployments goes on whatever the database does."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.chassis.errors import DatabaseAway, FailedPrecondition
from services.registry.domain.deployment import Deployment, DeploymentBackend, DeploymentSpec, DeploymentState
from services.registry.ports import Deployers
from services.registry.ports.stores import DeploymentStore, ModelStore
from services.registry.usecases.reconciliation import Reconciler
from tests.machine import PATIENCE_SECONDS

AWAY = DatabaseAway("The database does not answer.", "Try again when it is back.")


@dataclass
class Away:
    """A database that is away for all but two questions; `looks` counts how often deployments were asked for."""

    looks: int = 0
    seen_twice: asyncio.Event = field(default_factory=asyncio.Event)
    told: list[Any] = field(default_factory=list)

    async def is_reconciler(self, owner: str, seconds: float) -> bool:
        return True

    async def all(self) -> tuple[Deployment, ...]:
        self.looks += 1
        if self.looks == 2:
            self.seen_twice.set()
        spec, now = DeploymentSpec("tiny@1", DeploymentBackend.WORKER, "", 1, 0, 0), datetime.now(UTC)
        return (Deployment("one", "", spec, DeploymentState.READY, "", "http://127.0.0.1:1/v1", now, now),)

    async def close(self) -> None:
        pass

    async def tell(self, *status: Any) -> None:
        self.told.append(status)

    async def serve(self, deployment: Deployment, served: object) -> None:
        raise AssertionError("What is served is not known.")

    async def named(self, text: str) -> None:
        raise AWAY


async def test_a_database_that_is_away_ends_no_look_and_changes_no_state() -> None:
    database = Away()
    deployers = cast(Deployers, {DeploymentBackend.WORKER: Away()})
    store, models = cast(DeploymentStore, database), cast(ModelStore, database)
    reconciler = Reconciler(store, models, deployers, owner="one", lease_seconds=0.3)
    task = asyncio.create_task(reconciler.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.wait({task, asyncio.create_task(database.seen_twice.wait())}, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert database.told == []


def test_only_what_workers_serve_is_reported_from_outside() -> None:
    spec, now = DeploymentSpec("tiny@1", DeploymentBackend.LLAMA_SERVER, "", 1, 0, 0), datetime.now(UTC)
    deployment = Deployment("one", "", spec, DeploymentState.STARTING, "", "", now, now)
    with pytest.raises(FailedPrecondition, match="served by LLAMA_SERVER"):
        deployment.check_has_workers()
    replace(deployment, spec=replace(spec, backend=DeploymentBackend.WORKER)).check_has_workers()

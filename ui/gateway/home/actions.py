"""Reading what the first page shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

from services.chassis.errors import ServiceError
from ui.gateway.clients import Clients
from ui.gateway.home.views import Readings
from ui.loops.actions import recent_loops
from ui.loops.schedules.actions import read_schedules
from ui.models.actions import read_imports, read_models
from ui.shipping.shipments.actions import recent_shipments
from ui.test_runs.actions import recent_test_runs
from ui.training_jobs.actions import recent_training_jobs

NUM_TEST_RUNS: Final = 50
_ACTIONS: Final[Mapping[str, Callable[[Clients], Awaitable[Any]]]] = {
    "models": read_models,
    "imports": read_imports,
    "test_runs": partial(recent_test_runs, limit=NUM_TEST_RUNS),
    "training_jobs": recent_training_jobs,
    "loops": recent_loops,
    "schedules": read_schedules,
    "shipments": recent_shipments,
}


async def read_home(clients: Clients) -> tuple[Readings, list[str]]:
    """Return what there is, and a sentence for each service that did not answer."""
    answers = await asyncio.gather(*(_read(action, clients) for action in _ACTIONS.values()))
    lists = {name: answer for name, answer in zip(_ACTIONS, answers, strict=True) if not isinstance(answer, str)}
    return Readings(**lists), [answer for answer in answers if isinstance(answer, str)]


async def _read(action: Callable[[Clients], Awaitable[Any]], clients: Clients) -> Any:
    try:
        return await action(clients)
    except ServiceError as error:
        return error.problem

"""Databases that are away now and then, while the jobs of a bench work."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from services.chassis.database import lease
from services.chassis.errors import DatabaseAway
from tests.fakes import databases

Transaction = Callable[..., AbstractAsyncContextManager[Any]]


def break_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make transactions of jobs on all databases of the bench fail by turns, and jobs repeat them without a pause."""
    for database in databases._lent:
        break_transactions(monkeypatch, database, "_transaction")


def break_transactions(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Make what `owner` opens by its method `name` fail by turns: before it begins, and after it was kept."""
    transaction: Transaction = getattr(owner, name)
    turns = itertools.cycle(("begins", "fails", "begins", "loses its answer"))

    @asynccontextmanager
    async def broken(**options: bool) -> AsyncIterator[Any]:
        turn = next(turns) if lease._LEASE.get() else "begins"
        if turn == "fails":
            raise DatabaseAway("The database does not answer.")
        async with transaction(**options) as session:
            yield session
        if turn == "loses its answer":
            raise DatabaseAway("The database does not answer.")

    monkeypatch.setattr(owner, name, broken)
    monkeypatch.setattr(lease, "_FIRST_PAUSE_SECONDS", 0.001)

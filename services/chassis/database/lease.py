"""The lease of a job as its holder sees it: while it lasts writes wait for the database, and after it none is made."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import structlog

from services.chassis.errors import DatabaseAway, DatabaseFull, LeaseOver

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.2
_LAST_PAUSE_SECONDS = 2.0
_LEASE: ContextVar[HeldLease | None] = ContextVar("lease", default=None)
_log = structlog.get_logger()


class HeldLease:
    """How long this process may go on with a job, by its own clock, whether or not the database answers.

    Args:
        seconds: Length of the lease.
        since: `boot_seconds()` before the database was asked for it, so that it ends here before it ends there.
    """

    def __init__(self, seconds: float, *, since: float) -> None:
        self.seconds = seconds
        self.renew(since)

    def renew(self, since: float) -> None:
        """Let it last for its whole length from `since`."""
        self._until = since + self.seconds

    def end(self) -> None:
        """End it now."""
        self._until = -math.inf

    def bind(self) -> None:
        """Make it the lease of this task, and of those that this one begins from now on."""
        _LEASE.set(self)

    @property
    def seconds_left(self) -> float:
        """How long it lasts, at least 0."""
        return max(self._until - boot_seconds(), 0.0)

    @property
    def seconds_over(self) -> float:
        """For how long it has been over, at least 0."""
        return round(max(boot_seconds() - self._until, 0.0), 3)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.seconds_left == 0

    def check(self) -> None:
        """Return while it lasts.

        Raises:
            LeaseOver: It has ended.
        """
        if self.is_over:
            raise LeaseOver("The lease of the job is over.", "Leave the job to the next process that takes it over.")


def boot_seconds() -> float:
    """Return seconds since this machine started, suspended time included; setting the wall clock does not move it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def check_lease() -> None:
    """Return unless this task belongs to a job whose lease is over; call it before what others must not see then.

    Raises:
        LeaseOver: A process that was frozen wakes up, or the database was away for too long.
    """
    if lease := _LEASE.get():
        lease.check()


@contextmanager
def without_lease() -> Iterator[None]:
    """Let this task write although the lease of its job may be over; for handing the job over."""
    token = _LEASE.set(None)
    try:
        yield
    finally:
        _LEASE.reset(token)


def durable(store: type[T]) -> type[T]:
    """Let a job wait for its service's database: each public coroutine of the class is called again while that is away.

    Only in the tasks of a job, and for as long as its lease lasts; elsewhere the error is raised at once. A call whose
    answer was lost is repeated too, so each must be one that its epoch and its arguments make safe to repeat.
    """
    for name, method in list(vars(store).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(method):
            setattr(store, name, repeated(method))
    return store


def repeated(method: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Return a coroutine function that a job calls again while the database is away, as `durable` says."""

    @functools.wraps(method)
    async def call(*args: Any, **kwargs: Any) -> T:
        lease, pause = _LEASE.get(), _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await method(*args, **kwargs)
            except (DatabaseAway, DatabaseFull) as error:
                if lease is None:
                    raise
                if pause == _FIRST_PAUSE_SECONDS:
                    _log.warning("job_waits_for_database", call=method.__name__, reason=str(error))
            await asyncio.sleep(min(pause * random.uniform(0.5, 1.0), lease.seconds_left))
            lease.check()
            pause = min(2 * pause, _LAST_PAUSE_SECONDS)

    return call

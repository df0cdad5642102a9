"""The product with one of its guards taken out: a storm that does not see the difference proves nothing."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.storm.plugin import change

_LATE_SECONDS = 1.0


@dataclass(frozen=True)
class Mutant:
    """What is taken out, and the storm that shows it.

    Attributes:
        patches: What changes a module, by its name.
        services: Those that are killed.
        is_replicated: Whether it takes two replicas, and with them PostgreSQL, to show.
        freezes: Whether every blow is a SIGSTOP past the lease.
    """

    patches: Mapping[str, Callable[[ModuleType], None]]
    services: tuple[str, ...]
    is_replicated: bool = False
    freezes: bool = False


def _no_epoch_check(rules: ModuleType) -> None:
    change(rules, "check_epoch", lambda _check: lambda job, epoch: None)


def _no_fence(sql_store: ModuleType) -> None:
    async def fence(session: Any, job_id: str, epoch: int) -> Any:
        """Let everyone write, and read the job as it is for whoever asks."""
        query = sql_store.select(sql_store.JOBS).where(sql_store.JOBS.c.job_id == job_id)
        return sql_store._to_job((await session.execute(query)).mappings().one())

    change(sql_store, "fence", lambda _fence: fence)


def _endless_lease(lease: ModuleType) -> None:
    # The other half of the fence: by its own clock a process that was frozen would write nothing when it wakes.
    lease.HeldLease.seconds_left = property(lambda held: held.seconds)


def _answer_first(requests: ModuleType) -> None:
    def make(create: Callable[..., Any]) -> Callable[..., Any]:
        late: set[asyncio.Task[Any]] = set()

        async def answered(store: Any, kind: str, request_id: str, spec: Any, **options: Any) -> Any:
            async with store._reading() as ledger:
                known = await ledger.find(kind, request_id)
            # What is asked for in calm weather is asked about at once.
            if known is not None or not request_id.startswith("storm/"):
                return await create(store, kind, request_id, spec, **options)
            options["job_id"] = options.get("job_id") or uuid.uuid4().hex

            async def store_late() -> None:
                await asyncio.sleep(_LATE_SECONDS)
                await create(store, kind, request_id, spec, **options)

            late.add(asyncio.create_task(store_late()))
            now = datetime.now(UTC)
            from services.chassis.jobs.job import Job, JobState

            return Job(options["job_id"], kind, JobState.QUEUED, request_id, spec, now, now)

        return answered

    change(requests, "JobRequests.create", make)


def _same_epoch(rules: ModuleType) -> None:
    def make(claimed: Callable[..., Any]) -> Callable[..., Any]:
        def claim(job: Any, lease: Any, now: Any) -> Any:
            return claimed(replace(job, epoch=max(job.epoch - 1, 0)) if job.epoch else job, lease, now)

        return claim

    change(rules, "claimed", make)


def _write_in_place(local_folder: ModuleType) -> None:
    def make(_keep: Callable[..., Any]) -> Callable[..., Any]:
        def keep(folder: Any, staged: Path, path: str) -> None:
            target = folder.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            for place in [staged, *sorted(staged.rglob("*"))] if staged.is_dir() else [staged]:
                copy = target / place.relative_to(staged) if place != staged else target
                if place.is_dir():
                    copy.mkdir(exist_ok=True)
                elif not copy.exists():
                    shutil.copyfile(place, copy)
                    time.sleep(_LATE_SECONDS / 2)

        return keep

    change(local_folder, "LocalFolder.keep", make)


_JOBS = "services.chassis.jobs"
MUTANTS: dict[str, Mutant] = {
    "no_fence": Mutant(
        {
            f"{_JOBS}.rules": _no_epoch_check,
            f"{_JOBS}.sql_store": _no_fence,
            "services.chassis.database.lease": _endless_lease,
        },
        ("test_runner", "evaluator"),
        is_replicated=True,
        freezes=True,
    ),
    "answer_before_commit": Mutant({f"{_JOBS}.requests": _answer_first}, ("registry", "test_runner", "trainer")),
    "same_epoch": Mutant({f"{_JOBS}.rules": _same_epoch}, ("test_runner", "evaluator")),
    "no_rename": Mutant({"services.chassis.artifacts.local_folder": _write_in_place}, ("registry",)),
}

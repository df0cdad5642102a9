"""One storm: calm weather first, then blows while work is asked for, then the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.storm.asking.callers import Callers, get_calls
from tests.storm.databases import Databases, databases
from tests.storm.killer import Killer
from tests.storm.latency import Latencies, read_latencies
from tests.storm.ledger import CREATED, Ledger
from tests.storm.mutants import MUTANTS
from tests.storm.oracle.jobs import unfinished
from tests.storm.oracle.judgement import Judgement
from tests.storm.oracle.leftovers import judge_folders, judge_processes, watch_artifacts, watch_drivers
from tests.storm.oracle.notices import judge_notices, refuses_some_at_first
from tests.storm.oracle.work import judge_work
from tests.storm.outage import outage
from tests.storm.stack import LEASE_SECONDS, ROOT, SERVICES, Stack
from tests.unit.chassis.machine.webhook_receiver import running_receiver

# Work is asked for in this share of the time, so that all of it is struck at.
_ASKING_SHARE = 0.85
# Work that has not ended is waited for while any of it moves; a mutant's may move for ever.
_STILL_SECONDS, _SETTLE_SECONDS, _MUTANT_SETTLE_SECONDS = 180.0, 1800.0, 60.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """What a storm is to be.

    Attributes:
        database: "sqlite", with one replica of each service, or "postgresql", with two.
        mutant: What is taken out of the product; empty for nothing.
        outage_seconds: For how long, before the blows, all databases are away at once from a job of each kind.
        copies: Replicas of each service; 0 for as many as the database allows.
    """

    seed: int
    seconds: float
    num_jobs: int
    database: str = "sqlite"
    mutant: str = ""
    outage_seconds: float = 0.0
    lease_seconds: float = LEASE_SECONDS
    copies: int = 0


@dataclass(frozen=True)
class Report:
    """How a storm went."""

    plan: Plan
    judgement: Judgement
    blows: Counter[str]
    latencies: Latencies
    serving_seconds: list[float]
    num_acknowledged: int
    settle_seconds: float


async def run_storm(plan: Plan, folder: Path) -> Report:
    """Run a storm whose services, ledger and logs are in `folder`, and return what the oracle says."""
    judgement = Judgement()
    with databases(plan.database, folder, SERVICES) as places, running_receiver() as receiver:
        receiver.is_taking = refuses_some_at_first()
        stack = Stack(
            folder,
            places,
            chance=random.Random(f"{plan.seed}/faults"),
            mutant=plan.mutant,
            lease_seconds=plan.lease_seconds,
            copies=plan.copies,
            webhook=receiver.url,
        )
        ledger = Ledger(folder / "ledger.jsonl")
        killer = Killer(stack, random.Random(f"{plan.seed}/killer"), MUTANTS.get(plan.mutant))
        async with (
            stack.running(),
            _beside(killer.watch_points()),
            Callers.of(stack, ledger, plan.seed) as callers,
        ):
            await callers.prepare()
            watches = _beside(watch_drivers(judgement)), _beside(watch_artifacts(folder, judgement))
            async with _latencies(stack, callers), watches[0], watches[1]:
                if plan.outage_seconds:
                    await outage(stack, callers, ledger, plan.outage_seconds)
                await _strike(plan, stack, callers, killer)
            await callers.pause_schedules()
            patience_seconds = _MUTANT_SETTLE_SECONDS if plan.mutant else _SETTLE_SECONDS
            settle_seconds = await _settle(stack, places, patience_seconds)
        await judge_processes(stack, judgement)
        judgement.wrong += ledger.answers
        await judge_work(ledger, callers.reference_ids, places, judgement, folder)
        judge_notices(receiver, places, judgement)
        judge_folders(folder, judgement, are_shared=places.is_shared)
    return Report(
        plan,
        judgement,
        killer.blows,
        read_latencies(folder / "latencies.jsonl", {each.address: each.outages for each in stack.replicas}),
        sorted(seconds for replica in stack.replicas for seconds in replica.serving_seconds),
        sum(entry.act == CREATED for entry in ledger.entries),
        settle_seconds,
    )


async def _strike(plan: Plan, stack: Stack, callers: Callers, killer: Killer) -> None:
    if not plan.seconds:
        return
    stack.has_faults = not plan.mutant
    async with _beside(killer.strike_for_ever()):
        begin = time.monotonic()
        working = asyncio.create_task(callers.work(plan.num_jobs, _ASKING_SHARE * plan.seconds))
        await asyncio.sleep(max(plan.seconds - (time.monotonic() - begin), 0.0))
    stack.has_faults = False
    # A process that was started with a fault point still has it; its successor is a calm one.
    await working


async def _settle(stack: Stack, places: Databases, patience_seconds: float) -> float:
    """Return after how many seconds of calm all work had ended, or none of it had moved for long, or patience ended."""
    begin = moved = time.monotonic()
    before: dict[str, int] = {}
    while jobs := await asyncio.to_thread(unfinished, places):
        now = time.monotonic()
        moved, before = (now if jobs != before else moved), jobs
        if now - moved > _STILL_SECONDS or now - begin > patience_seconds:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    await stack.all_serving()
    return time.monotonic() - begin


@asynccontextmanager
async def _beside(work: asyncio._CoroutineLike[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _latencies(stack: Stack, callers: Callers) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.storm.latency", str(stack.data_dir / "latencies.jsonl")),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(get_calls(callers, stack).encode() + b"\n")
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def as_document(report: Report) -> dict[str, object]:
    """Return a report as JSON."""
    judgement, latencies = report.judgement, report.latencies
    return {
        "seed": report.plan.seed,
        "minutes": round(report.plan.seconds / 60, 2),
        "database": report.plan.database,
        "mutant": report.plan.mutant,
        "num_acknowledged": report.num_acknowledged,
        "blows": dict(sorted(report.blows.items())),
        "lost": judgement.lost,
        "doubled": judgement.doubled,
        "wrong": judgement.wrong,
        "left": judgement.left,
        "looked_at": dict(judgement.looked_at),
        "get_p50_ms": round(1000 * latencies.quantile(0.5), 1),
        "get_p99_ms": round(1000 * latencies.quantile(0.99), 1),
        "gets": len(latencies.seconds),
        "gets_refused": latencies.num_refused,
        "gets_slowed_by_outage": latencies.num_slowed,
        "gets_failed_while_up": dict(latencies.codes),
        "serving_p50_seconds": _middle(report.serving_seconds, 0.5),
        "serving_max_seconds": _middle(report.serving_seconds, 1.0),
        "settle_seconds": round(report.settle_seconds, 1),
        "bound_percent": round(bound(report.num_acknowledged), 2),
    }


def bound(num_jobs: int) -> float:
    """Return the share in percent that, at 95 %, is not exceeded when none of `num_jobs` was lost (rule of three)."""
    return 300 / max(num_jobs, 1)


def _middle(values: list[float], share: float) -> float:
    return round(values[min(int(share * len(values)), len(values) - 1)], 2) if values else 0.0


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_document(report), indent=1) + "\n", encoding="utf-8")

"""The windows of runs that several processes work on: who has claimed which, and which are stored before their turn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import Job, JobState, fence, live_epochs
from services.chassis.jobs.tables import JOB_EVENTS, JOBS
from services.test_runner.domain.test_run import SHARE_KIND, Environment, Hold, RunRecord
from services.test_runner.domain.transcript import Transcript
from services.test_runner.store.tables import TEST_RUN_WINDOWS, TEST_RUNS

Row = Mapping[Any, Any]
_WINDOWS = TEST_RUN_WINDOWS.c
_COUNTS = ("num_transcripts", "num_generated_tokens", "num_unanswered")


async def fenced(session: AsyncSession, test_run_id: str, hold: Hold) -> Job:
    """Lock the job of the hold, and that of the run, for the caller's transaction; return it in the run's state.

    Raises:
        FailedPrecondition: The hold is over, or the run is in nobody's hands: paused, ended or deleted.
    """
    job = await fence(session, hold.job_id, hold.epoch)
    if hold.job_id == test_run_id:
        return job
    of_run = select(JOBS.c.state).where(JOBS.c.job_id == test_run_id).with_for_update()
    state = (await session.execute(of_run)).scalar_one_or_none()
    if state is None or not JobState(state).is_owned:
        raise FailedPrecondition(f"The run {test_run_id} is {state or 'deleted'}.", "Stop this work; the run is over.")
    return replace(job, state=JobState(state))


async def windows_of(session: AsyncSession, test_run_id: str) -> list[Row]:
    """Return the rows of a run, in order."""
    query = select(TEST_RUN_WINDOWS).where(_WINDOWS.test_run_id == test_run_id).order_by(_WINDOWS.number)
    return list((await session.execute(query)).mappings())


async def claim(
    session: AsyncSession, run: RunRecord, hold: Hold, *, num_windows: int, is_running: bool
) -> tuple[int | None, int]:
    """Return the window that the hold has or gets, and the number of those that other holds which last have."""
    rows = await windows_of(session, run.test_run_id)
    claimed = [row for row in rows if not row["num_transcripts"]]
    live = await live_epochs(session, {run.test_run_id, *(row["job_id"] for row in claimed)})
    held = {row["number"]: row["job_id"] for row in claimed if live.get(row["job_id"]) == row["epoch"]}
    own = [number for number, job_id in held.items() if job_id == hold.job_id]
    if own:
        return own[0], len(held) - 1
    taken = {*held, *(row["number"] for row in rows if row["num_transcripts"])}
    first = _num_counted(run)
    free = next((number for number in range(first, num_windows) if number not in taken), None)
    # A run without an owner needs one more than it needs another window.
    if free is None or not is_running or run.test_run_id not in live:
        return None, len(held)
    lapsed = delete(TEST_RUN_WINDOWS).where(_WINDOWS.test_run_id == run.test_run_id, _WINDOWS.number == free)
    await session.execute(lapsed)
    row = {"test_run_id": run.test_run_id, "number": free, "job_id": hold.job_id, "epoch": hold.epoch}
    await session.execute(insert(TEST_RUN_WINDOWS).values({**row, **dict.fromkeys(_COUNTS, 0)}))
    return free, len(held)


async def check_claimed(session: AsyncSession, run: RunRecord, hold: Hold, environment: Environment) -> bool:
    """Return whether the hold's window is still to be stored.

    Raises:
        FailedPrecondition: Another hold has claimed it since, or another environment was fixed for the run.
    """
    assert hold.window is not None
    if run.environment not in (Environment(), environment):
        raise FailedPrecondition(
            f"Window {hold.window} of {run.test_run_id} was answered by other means than the run's are now.",
            "Stop this work; the run was begun again.",
        )
    if hold.window < _num_counted(run):
        return False
    rows = {row["number"]: row for row in await windows_of(session, run.test_run_id)}
    row = rows.get(hold.window)
    if row is None or (not row["num_transcripts"] and (row["job_id"], row["epoch"]) != (hold.job_id, hold.epoch)):
        raise FailedPrecondition(
            f"Window {hold.window} of {run.test_run_id} is another process's.", "Stop this work; its owner has changed."
        )
    return not row["num_transcripts"]


async def count_stored(
    session: AsyncSession, run: RunRecord, hold: Hold, transcripts: Sequence[Transcript], environment: Environment
) -> None:
    """Count what was stored, once nothing before it is missing, and keep what generated it."""
    num_unanswered = sum(not item.is_answered for item in transcripts)
    counts = dict(zip(_COUNTS, (len(transcripts), num_tokens_of(transcripts), num_unanswered), strict=True))
    stored: Sequence[Row] = [counts]
    if hold.window is not None:
        of_window = _WINDOWS.test_run_id == run.test_run_id, _WINDOWS.number == hold.window
        await session.execute(update(TEST_RUN_WINDOWS).where(*of_window).values(counts))
        stored = await _in_turn(session, run)
    changes = {name: getattr(run, name) + sum(row[name] for row in stored) for name in _COUNTS}
    changes["environment"] = environment.to_document()
    await session.execute(update(TEST_RUNS).where(TEST_RUNS.c.test_run_id == run.test_run_id).values(changes))


async def _in_turn(session: AsyncSession, run: RunRecord) -> list[Row]:
    """Remove and return the stored windows that follow what the run counts without a gap."""
    following: list[Row] = []
    first = _num_counted(run)
    for row in await windows_of(session, run.test_run_id):
        if row["num_transcripts"] and row["number"] == first + len(following):
            following.append(row)
    numbers = [row["number"] for row in following]
    of_run = _WINDOWS.test_run_id == run.test_run_id
    await session.execute(delete(TEST_RUN_WINDOWS).where(of_run, _WINDOWS.number.in_(numbers)))
    return following


async def delete_shares(session: AsyncSession, test_run_id: str) -> None:
    """Remove what processes that helped a run had of it."""
    await session.execute(delete(TEST_RUN_WINDOWS).where(_WINDOWS.test_run_id == test_run_id))
    shares = select(JOBS.c.job_id).where(JOBS.c.kind == SHARE_KIND, JOBS.c.job_id.startswith(f"{test_run_id}-share-"))
    # Who works on a share of a run that has just ended may still tell of it.
    job_ids = list((await session.execute(shares.with_for_update())).scalars())
    for table in (JOB_EVENTS, JOBS):
        await session.execute(delete(table).where(table.c.job_id.in_(job_ids)))


def _num_counted(run: RunRecord) -> int:
    # The last window may have fewer transcripts than the others.
    return -(-run.num_transcripts // run.inputs.window_size)


def num_tokens_of(transcripts: Sequence[Transcript]) -> int:
    """Return how many tokens they have that were generated."""
    return sum(item.num_generated_tokens for item in transcripts)

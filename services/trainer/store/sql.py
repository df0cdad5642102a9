"""Inputs, attempts, checkpoints and curves in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from sqlalchemy import and_, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent, item_of, row_of
from services.chassis.database.lease import durable, repeated
from services.chassis.jobs import Json, append_events, fence
from services.chassis.machine.usage import add_tokens
from services.trainer.domain.attempt import (
    LOST_REASON,
    SCORE,
    Attempt,
    AttemptOutcome,
    AttemptReport,
    Checkpoint,
    CurvePoint,
    best_step,
    refuse_report,
)
from services.trainer.domain.inputs import TrainingInputs
from services.trainer.store.tables import ATTEMPTS, CHECKPOINTS, CURVE_POINTS, INPUTS, METADATA

MIGRATIONS = Path(__file__).with_name("migrations")


@durable
class SqlTrainingStore:
    """Keeps everything beside the jobs it belongs to, so that only a job's owner and its live attempt write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_inputs(self, training_job_id: str, inputs: TrainingInputs) -> TrainingInputs:
        """Store the inputs of a job, or return those that are stored already."""
        async with self._database.session() as session:
            row = {"training_job_id": training_job_id, "inputs": inputs.to_document()}
            await insert_if_absent(session, INPUTS, row)
            rows = await session.execute(select(INPUTS.c.inputs).where(INPUTS.c.training_job_id == training_job_id))
            return TrainingInputs.from_document(rows.scalar_one())

    async def delete_job(self, training_job_id: str) -> None:
        """Remove all that is stored of a job; nothing happens when there is nothing."""
        async with self._database.session() as session:
            for table in METADATA.sorted_tables:
                await session.execute(delete(table).where(table.c.training_job_id == training_job_id))

    async def get_inputs(self, training_job_ids: Sequence[str]) -> Mapping[str, TrainingInputs]:
        """Return the inputs that are stored, by job."""
        async with self._database.reading() as session:
            rows = await session.execute(select(INPUTS).where(INPUTS.c.training_job_id.in_(training_job_ids)))
            return {row["training_job_id"]: TrainingInputs.from_document(row["inputs"]) for row in rows.mappings()}

    async def list_attempts(self, training_job_ids: Sequence[str]) -> Mapping[str, tuple[Attempt, ...]]:
        """Return the attempts of each job, oldest first."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.training_job_id.in_(training_job_ids)).order_by(ATTEMPTS.c.attempt)
        attempts: dict[str, tuple[Attempt, ...]] = dict.fromkeys(training_job_ids, ())
        async with self._database.reading() as session:
            for row in (await session.execute(query)).mappings():
                attempts[row["training_job_id"]] += (item_of(Attempt, row),)
        return attempts

    async def begin_attempt(self, training_job_id: str, epoch: int, *, checkpoint: Checkpoint | None) -> Attempt:
        """Store a new attempt that goes on from `checkpoint`, or from step 0.

        Attempts that had not ended are LOST; points and checkpoints above the start step are forgotten.

        Raises:
            FailedPrecondition: The job was taken over since `epoch`.
        """
        numbers: list[int] = []
        return await repeated(self._begin)(training_job_id, epoch, checkpoint, numbers)

    async def _begin(
        self, training_job_id: str, epoch: int, checkpoint: Checkpoint | None, numbers: list[int]
    ) -> Attempt:
        """Begin an attempt, unless an earlier try did; each try adds the number of the newest attempt to `numbers`."""
        start = checkpoint.step if checkpoint else 0
        of_job = ATTEMPTS.c.training_job_id == training_job_id
        async with self._database.session() as session:
            await fence(session, training_job_id, epoch)
            newest = (await session.execute(select(func.max(ATTEMPTS.c.attempt)).where(of_job))).scalar() or 0
            numbers.append(newest)
            if newest > numbers[0]:
                return Attempt(attempt=newest, epoch=epoch, start_step=start)
            await session.execute(
                update(ATTEMPTS)
                .where(of_job, ATTEMPTS.c.outcome.is_(None))
                .values(outcome=str(AttemptOutcome.LOST), reason=LOST_REASON)
            )
            for table in (CHECKPOINTS, CURVE_POINTS):
                gone = delete(table).where(table.c.training_job_id == training_job_id, table.c.step > start)
                await session.execute(gone)
            if checkpoint:
                await insert_if_absent(
                    session, CHECKPOINTS, row_of(checkpoint, CHECKPOINTS, training_job_id=training_job_id)
                )
            attempt = Attempt(attempt=newest + 1, epoch=epoch, start_step=start)
            await session.execute(insert(ATTEMPTS).values(row_of(attempt, ATTEMPTS, training_job_id=training_job_id)))
        return attempt

    async def end_attempt(
        self,
        training_job_id: str,
        attempt: int,
        epoch: int,
        *,
        outcome: AttemptOutcome,
        reason: str,
        is_permanent: bool,
    ) -> Attempt:
        """Store how an attempt ended and return it; the first outcome stays.

        Raises:
            FailedPrecondition: The job was taken over since `epoch`.
        """
        async with self._database.session() as session:
            await fence(session, training_job_id, epoch)
            return await _end(session, training_job_id, attempt, (outcome, reason, is_permanent))

    async def add_report(self, report: AttemptReport, *, save_total_limit: int) -> AttemptReport:
        """Store a report, and return it with only those points and checkpoints that are new: each has its event.

        Of the checkpoints the newest `save_total_limit` stay, and the one with the best score.

        Raises:
            FailedPrecondition: The attempt has ended by another report, or is not of the job's epoch.
        """
        job_id = report.training_job_id
        async with self._database.session() as session:
            job = await fence(session, job_id, report.epoch)
            refuse_report(report, await _load(session, job_id, report.attempt))
            points = [
                point
                for point in report.curve_points
                if await insert_if_absent(session, CURVE_POINTS, row_of(point, CURVE_POINTS, training_job_id=job_id))
            ]
            checkpoints = [
                item
                for item in report.checkpoints
                if await insert_if_absent(session, CHECKPOINTS, row_of(item, CHECKPOINTS, training_job_id=job_id))
            ]
            if checkpoints:
                await _keep_newest(session, job_id, save_total_limit)
            if report.outcome:
                end = (report.outcome, report.reason, report.is_permanent)
                await _end(session, job_id, report.attempt, end)
            num_tokens = sum(point.value for point in points if point.metric == "tokens")
            if num_tokens:
                await add_tokens(session, job.workspace_id, round(num_tokens))
            events = [("point", asdict(point)) for point in points]
            await append_events(session, job, [*events, *(("checkpoint", _told(item)) for item in checkpoints)])
        return replace(report, curve_points=tuple(points), checkpoints=tuple(checkpoints))

    async def list_checkpoints(self, training_job_id: str) -> tuple[Checkpoint, ...]:
        """Return the checkpoints, newest first, each with what was measured after its step."""
        of_step = (
            CURVE_POINTS.c.training_job_id == CHECKPOINTS.c.training_job_id,
            CURVE_POINTS.c.step == CHECKPOINTS.c.step,
            CURVE_POINTS.c.metric == SCORE,
        )
        query = (
            select(CHECKPOINTS, CURVE_POINTS.c.value.label("score"))
            .outerjoin(CURVE_POINTS, and_(*of_step))
            .where(CHECKPOINTS.c.training_job_id == training_job_id)
            .order_by(CHECKPOINTS.c.step.desc())
        )
        async with self._database.reading() as session:
            return tuple(item_of(Checkpoint, row) for row in (await session.execute(query)).mappings())

    async def delete_checkpoints(self, training_job_id: str, steps: Sequence[int]) -> None:
        """Forget the checkpoints of these steps of a job."""
        gone = (CHECKPOINTS.c.training_job_id == training_job_id, CHECKPOINTS.c.step.in_(steps))
        async with self._database.session() as session:
            await session.execute(delete(CHECKPOINTS).where(*gone))

    async def list_curve_points(
        self, training_job_id: str, metric: str, *, after: tuple[int, str], limit: int
    ) -> tuple[CurvePoint, ...]:
        """Return up to `limit` points behind `after` by (step, metric), of one metric or, when it is empty, of all."""
        place = tuple_(CURVE_POINTS.c.step, CURVE_POINTS.c.metric)
        query = (
            select(CURVE_POINTS)
            .where(CURVE_POINTS.c.training_job_id == training_job_id, place > after)
            .order_by(CURVE_POINTS.c.step, CURVE_POINTS.c.metric)
            .limit(limit)
        )
        if metric:
            query = query.where(CURVE_POINTS.c.metric == metric)
        async with self._database.reading() as session:
            return tuple(item_of(CurvePoint, row) for row in (await session.execute(query)).mappings())


async def _load(session: AsyncSession, job_id: str, attempt: int) -> Attempt | None:
    query = select(ATTEMPTS).where(ATTEMPTS.c.training_job_id == job_id, ATTEMPTS.c.attempt == attempt)
    row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else item_of(Attempt, row)


async def _end(session: AsyncSession, job_id: str, attempt: int, end: tuple[AttemptOutcome, str, bool]) -> Attempt:
    outcome, reason, is_permanent = end
    await session.execute(
        update(ATTEMPTS)
        .where(ATTEMPTS.c.training_job_id == job_id, ATTEMPTS.c.attempt == attempt, ATTEMPTS.c.outcome.is_(None))
        .values(outcome=str(outcome), reason=reason, is_permanent=is_permanent)
    )
    ended = await _load(session, job_id, attempt)
    if ended is None:
        raise LookupError(f"no attempt {attempt} of {job_id}")
    return ended


def _told(checkpoint: Checkpoint) -> Json:
    return {name: value for name, value in asdict(checkpoint).items() if name not in ("create_time", "score")}


async def _keep_newest(session: AsyncSession, job_id: str, limit: int) -> None:
    steps = (
        select(CHECKPOINTS.c.step)
        .where(CHECKPOINTS.c.training_job_id == job_id)
        .order_by(CHECKPOINTS.c.step.desc())
        .limit(limit)
    )
    points = select(CURVE_POINTS.c.step, CURVE_POINTS.c.value).where(
        CURVE_POINTS.c.training_job_id == job_id, CURVE_POINTS.c.metric == SCORE
    )
    newest_steps = [int(step) for step in (await session.execute(steps)).scalars()]
    best = best_step({point.step: point.value for point in await session.execute(points)})
    gone = (CHECKPOINTS.c.step < min(newest_steps), CHECKPOINTS.c.step != best)
    await session.execute(delete(CHECKPOINTS).where(CHECKPOINTS.c.training_job_id == job_id, *gone))

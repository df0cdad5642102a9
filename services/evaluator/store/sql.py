"""Evaluations and verdicts in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import false, func, insert, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import fence
from services.evaluator.domain.evaluation import EvaluationRecord, Subject, Tally
from services.evaluator.domain.verdict import NO_CAUSE, Layer, Verdict, VerdictFilter
from services.evaluator.store.tables import EVALUATIONS, VERDICTS

MIGRATIONS = Path(__file__).with_name("migrations")


class SqlEvaluationStore:
    """Keeps evaluations beside the jobs they belong to, so that verdicts are stored only by the job's owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_evaluation(self, record: EvaluationRecord) -> EvaluationRecord:
        """Store an evaluation, or return the one that is stored under its id already."""
        async with self._database.session() as session:
            new = sqlite.insert(EVALUATIONS) if self._database.is_sqlite else postgresql.insert(EVALUATIONS)
            await session.execute(new.values(_evaluation_row(record)).on_conflict_do_nothing())
            return await _evaluation(session, record.evaluation_id)

    async def get_evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        """Return an evaluation, or None."""
        async with self._database.reading() as session:
            found = await session.execute(select(EVALUATIONS).where(EVALUATIONS.c.evaluation_id == evaluation_id))
            row = found.mappings().one_or_none()
            return None if row is None else _to_evaluation(row)

    async def list_evaluations(self, test_run_id: str, before: int | None, limit: int) -> tuple[EvaluationRecord, ...]:
        """Return up to `limit` evaluations, of one run or (empty) of all, newest first, below the ordinal `before`."""
        wanted = select(EVALUATIONS).order_by(EVALUATIONS.c.ordinal.desc()).limit(limit)
        if test_run_id:
            wanted = wanted.where(EVALUATIONS.c.test_run_id == test_run_id)
        if before is not None:
            wanted = wanted.where(EVALUATIONS.c.ordinal < before)
        async with self._database.reading() as session:
            return tuple(_to_evaluation(row) for row in (await session.execute(wanted)).mappings())

    async def append_verdicts(self, evaluation_id: str, epoch: int, verdicts: Sequence[Verdict]) -> EvaluationRecord:
        """Store verdicts, all or none, and return the evaluation with its new count.

        Raises:
            FailedPrecondition: The job was taken over since `epoch`, or the verdicts do not follow what is stored.
        """
        async with self._database.session() as session:
            await fence(session, evaluation_id, epoch)
            record = await _evaluation(session, evaluation_id)
            check_follows(record, verdicts)
            await session.execute(insert(VERDICTS), [_verdict_row(evaluation_id, item) for item in verdicts])
            count = record.num_verdicts + len(verdicts)
            of_this = EVALUATIONS.c.evaluation_id == evaluation_id
            await session.execute(update(EVALUATIONS).where(of_this).values(num_verdicts=count))
            return await _evaluation(session, evaluation_id)

    async def list_verdicts(
        self, evaluation_id: str, wanted: VerdictFilter, *, after_sequence: int, limit: int
    ) -> tuple[Verdict, ...]:
        """Return up to `limit` of the wanted verdicts after a place, in the order of judging."""
        query = (
            select(VERDICTS)
            .where(VERDICTS.c.evaluation_id == evaluation_id, VERDICTS.c.sequence > after_sequence)
            .where(VERDICTS.c.tool == wanted.tool if wanted.tool else true())
            .where(VERDICTS.c.cause == wanted.cause.replace(NO_CAUSE, "") if wanted.cause else true())
            .order_by(VERDICTS.c.sequence)
            .limit(limit)
        )
        async with self._database.reading() as session:
            return tuple(_to_verdict(row) for row in (await session.execute(query)).mappings())

    async def tallies(self, evaluation_ids: Sequence[str]) -> Mapping[str, list[Tally]]:
        """Return the tallies of evaluations, by id; one without verdicts is absent."""
        c = VERDICTS.c
        alike = (c.evaluation_id, c.tool, c.cause, c.conforming, c.accepted, c.well_formed)
        query = select(*alike, func.count()).where(c.evaluation_id.in_(evaluation_ids)).group_by(*alike)
        found: dict[str, list[Tally]] = {}
        async with self._database.reading() as session:
            for evaluation_id, *key in await session.execute(query):
                found.setdefault(evaluation_id, []).append(Tally(*key))
        return found

    async def outcomes(self, evaluation_id: str) -> Mapping[str, bool]:
        """Return for each case that was judged whether all its repeats conform."""
        of_this = VERDICTS.c.evaluation_id == evaluation_id
        judged = select(VERDICTS.c.case_id).where(of_this).distinct()
        async with self._database.reading() as session:
            cases = (await session.execute(judged)).scalars().all()
            failed = set((await session.execute(judged.where(VERDICTS.c.conforming == false()))).scalars())
        return {case_id: case_id not in failed for case_id in cases}


def check_follows(record: EvaluationRecord, verdicts: Sequence[Verdict]) -> None:
    """Return when verdicts continue what is stored of their evaluation.

    Raises:
        FailedPrecondition: They do not.
    """
    expected = range(record.num_verdicts + 1, record.num_verdicts + 1 + len(verdicts))
    if [item.sequence for item in verdicts] != list(expected):
        raise FailedPrecondition(
            f"The verdicts do not follow the {record.num_verdicts} of {record.evaluation_id}.",
            "Continue the evaluation after the verdicts that are stored.",
        )


async def _evaluation(session: AsyncSession, evaluation_id: str) -> EvaluationRecord:
    found = await session.execute(select(EVALUATIONS).where(EVALUATIONS.c.evaluation_id == evaluation_id))
    return _to_evaluation(found.mappings().one())


def _evaluation_row(record: EvaluationRecord) -> dict[str, Any]:
    return {
        "evaluation_id": record.evaluation_id,
        "test_run_id": record.subject.test_run_id,
        "subject": record.subject.to_document(),
        "judge_digest": record.judge_digest,
        "num_verdicts": record.num_verdicts,
    }


def _to_evaluation(row: Mapping[Any, Any]) -> EvaluationRecord:
    return EvaluationRecord(
        evaluation_id=row["evaluation_id"],
        subject=Subject.from_document(row["subject"]),
        judge_digest=row["judge_digest"],
        num_verdicts=row["num_verdicts"],
        ordinal=row["ordinal"],
    )


def _verdict_row(evaluation_id: str, item: Verdict) -> dict[str, Any]:
    row = {name: value for name, value in vars(item).items() if name != "layers"}
    return row | {"evaluation_id": evaluation_id, "layers": [layer.to_document() for layer in item.layers]}


def _to_verdict(row: Mapping[Any, Any]) -> Verdict:
    values = {name: value for name, value in row.items() if name not in ("evaluation_id", "layers")}
    return Verdict(**values, layers=tuple(map(Layer.from_document, row["layers"])))

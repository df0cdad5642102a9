"""Evaluations and verdicts in the service's database, SQLite or PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, insert_if_absent, item_of, row_of
from services.chassis.database.lease import durable
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import fence
from services.chassis.wire import from_document, to_document
from services.evaluator.domain.evaluation import EvaluationRecord, ModelGrader
from services.evaluator.domain.metrics import Metrics, Quantiles
from services.evaluator.domain.parity import OutcomePair
from services.evaluator.domain.run import Subject
from services.evaluator.domain.tallies import CaseTally, Failing, Totals
from services.evaluator.domain.verdict import Layer, Spent, Verdict, VerdictFilter
from services.evaluator.store import queries
from services.evaluator.store.tables import EVALUATIONS, VERDICTS

MIGRATIONS = Path(__file__).with_name("migrations")
_METRICS = TypeAdapter(Metrics)
_TOTALS = TypeAdapter(Totals)


@durable
class SqlEvaluationStore:
    """Keeps evaluations beside the jobs they belong to, so that verdicts are stored only by the job's owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_evaluation(self, record: EvaluationRecord) -> EvaluationRecord:
        """Store an evaluation, or return the one that is stored under its id already."""
        async with self._database.session() as session:
            await insert_if_absent(session, EVALUATIONS, _evaluation_row(record))
            return await _evaluation(session, record.evaluation_id)

    async def get_evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        """Return an evaluation, or None."""
        async with self._database.reading() as session:
            rows = await session.execute(select(EVALUATIONS).where(EVALUATIONS.c.evaluation_id == evaluation_id))
            row = rows.mappings().one_or_none()
            return None if row is None else _to_evaluation(row)

    async def list_evaluations(self, test_run_id: str, before: int | None, limit: int) -> tuple[EvaluationRecord, ...]:
        """Return up to `limit` evaluations, of one run or (empty) of all, newest first, below the ordinal `before`."""
        query = select(EVALUATIONS).order_by(EVALUATIONS.c.ordinal.desc()).limit(limit)
        if test_run_id:
            query = query.where(EVALUATIONS.c.test_run_id == test_run_id)
        if before is not None:
            query = query.where(EVALUATIONS.c.ordinal < before)
        async with self._database.reading() as session:
            return tuple(_to_evaluation(row) for row in (await session.execute(query)).mappings())

    async def append_verdicts(
        self, evaluation_id: str, epoch: int, verdicts: Sequence[Verdict], totals: Totals
    ) -> EvaluationRecord:
        """Store verdicts and the totals that count them, all or none; return the evaluation with its new count."""
        async with self._database.session() as session:
            await fence(session, evaluation_id, epoch)
            record = await _evaluation(session, evaluation_id)
            if verdicts and record.num_verdicts == verdicts[-1].sequence:
                # This epoch stored them before; the answer was lost.
                return record
            check_follows(record, verdicts)
            await session.execute(insert(VERDICTS), [_verdict_row(evaluation_id, item) for item in verdicts])
            count = record.num_verdicts + len(verdicts)
            return await _changed(session, evaluation_id, num_verdicts=count, totals=asdict(totals))

    async def add_scores(
        self, evaluation_id: str, epoch: int, scores: Mapping[int, Mapping[str, float]], *, through: int, totals: Totals
    ) -> EvaluationRecord:
        """Add scores to verdicts by their sequence, and note that the grader was asked for all up to `through`."""
        c = VERDICTS.c
        async with self._database.session() as session:
            await fence(session, evaluation_id, epoch)
            for sequence, added in scores.items():
                of_this = (c.evaluation_id == evaluation_id, c.sequence == sequence)
                scores_so_far = (await session.execute(select(c.scores).where(*of_this))).scalar_one()
                await session.execute(update(VERDICTS).where(*of_this).values(scores={**scores_so_far, **added}))
            return await _changed(session, evaluation_id, num_graded=through, totals=asdict(totals))

    async def finish(self, evaluation_id: str, epoch: int, metrics: Metrics) -> EvaluationRecord:
        """Store the final metrics."""
        async with self._database.session() as session:
            await fence(session, evaluation_id, epoch)
            return await _changed(session, evaluation_id, metrics=_METRICS.dump_python(metrics, mode="json"))

    async def list_verdicts(
        self, evaluation_id: str, verdict_filter: VerdictFilter, *, after_sequence: int, limit: int
    ) -> tuple[Verdict, ...]:
        """Return up to `limit` of the wanted verdicts after a place, in the order of judging."""
        query = (
            select(VERDICTS)
            .where(queries.matching(evaluation_id, verdict_filter), VERDICTS.c.sequence > after_sequence)
            .order_by(VERDICTS.c.sequence)
            .limit(limit)
        )
        async with self._database.reading() as session:
            return tuple(_to_verdict(row) for row in (await session.execute(query)).mappings())

    async def count_verdicts(self, evaluation_id: str, verdict_filter: VerdictFilter) -> int:
        """Return the number of wanted verdicts."""
        query = select(func.count()).select_from(VERDICTS).where(queries.matching(evaluation_id, verdict_filter))
        async with self._database.reading() as session:
            return (await session.execute(query)).scalar_one()

    async def case_tallies(
        self, evaluation_id: str, through: int | None = None, answered_in: str = ""
    ) -> tuple[CaseTally, ...]:
        """Return a tally for each case that was judged up to a sequence (None: ever), in the order of their ids."""
        async with self._database.reading() as session:
            return await queries.case_tallies(session, evaluation_id, through, answered_in)

    async def latency_quantiles(self, evaluation_id: str, through: int | None = None) -> Quantiles:
        """Return the quantiles (nearest rank) of the time to answer one case up to a sequence, where it is known."""
        async with self._database.reading() as session:
            return await queries.latency_quantiles(session, evaluation_id, through)

    async def failing(self, evaluation_id: str, through: int | None = None) -> tuple[Failing, ...]:
        """Return each verdict up to a sequence (None: all) that does not conform, in the order of judging."""
        async with self._database.reading() as session:
            return await queries.failing(session, evaluation_id, through)

    async def outcome_pairs(self, before_id: str, after_id: str) -> tuple[OutcomePair, ...]:
        """Return the verdicts of two evaluations on the repeats that both have answered, in the order of case ids."""
        async with self._database.reading() as session:
            return await queries.outcome_pairs(session, before_id, after_id)


async def delete_evaluation(database: Database, evaluation_id: str) -> None:
    """Remove an evaluation and its verdicts; nothing happens when it is not there."""
    async with database.session() as session:
        for table in (VERDICTS, EVALUATIONS):
            await session.execute(delete(table).where(table.c.evaluation_id == evaluation_id))


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


async def _changed(session: AsyncSession, evaluation_id: str, **values: Any) -> EvaluationRecord:
    await session.execute(update(EVALUATIONS).where(EVALUATIONS.c.evaluation_id == evaluation_id).values(values))
    return await _evaluation(session, evaluation_id)


async def _evaluation(session: AsyncSession, evaluation_id: str) -> EvaluationRecord:
    rows = await session.execute(select(EVALUATIONS).where(EVALUATIONS.c.evaluation_id == evaluation_id))
    return _to_evaluation(rows.mappings().one())


def _evaluation_row(record: EvaluationRecord) -> dict[str, Any]:
    return {
        "evaluation_id": record.evaluation_id,
        "test_run_id": record.subject.test_run_id,
        "subject": record.subject.to_document(),
        "judge_digest": record.judge_digest,
        "num_verdicts": record.num_verdicts,
        "grader": to_document(record.grader) if record.grader else None,
        "num_graded": record.num_graded,
        "totals": asdict(record.totals or Totals()),
    }


def _to_evaluation(row: Mapping[Any, Any]) -> EvaluationRecord:
    return item_of(
        EvaluationRecord,
        row,
        subject=Subject.from_document(row["subject"]),
        grader=from_document(ModelGrader, row["grader"]) if row["grader"] else None,
        totals=_TOTALS.validate_python(row["totals"]) if row["totals"] else None,
        metrics=_METRICS.validate_python(row["metrics"]) if row["metrics"] else None,
    )


def _verdict_row(evaluation_id: str, verdict: Verdict) -> dict[str, Any]:
    layers = [layer.to_document() for layer in verdict.layers]
    spent = row_of(verdict.spent, VERDICTS)
    return row_of(verdict, VERDICTS, evaluation_id=evaluation_id, layer=verdict.layer, layers=layers, **spent)


def _to_verdict(row: Mapping[Any, Any]) -> Verdict:
    layers = tuple(map(Layer.from_document, row["layers"]))
    return item_of(Verdict, row, layers=layers, spent=item_of(Spent, row))

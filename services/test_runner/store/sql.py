"""Runs and transcripts in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import fence
from services.test_runner.domain import Environment, RunRecord, Transcript
from services.test_runner.store.rows import run_row, to_run, to_transcript, transcript_row
from services.test_runner.store.tables import TEST_RUNS, TRANSCRIPTS

MIGRATIONS = Path(__file__).with_name("migrations")


class SqlRunStore:
    """Keeps runs beside the jobs they belong to, so that a window is stored only by the job's owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_run(self, record: RunRecord) -> RunRecord:
        """Store a run, or return the one that is stored under its id already."""
        async with self._database.session() as session:
            new = sqlite.insert(TEST_RUNS) if self._database.is_sqlite else postgresql.insert(TEST_RUNS)
            await session.execute(new.values(run_row(record)).on_conflict_do_nothing())
            return await _run(session, record.test_run_id)

    async def get_run(self, test_run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        return (await self.get_runs([test_run_id])).get(test_run_id)

    async def get_runs(self, test_run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """Return those of the runs that are stored, by id."""
        async with self._database.reading() as session:
            found = await session.execute(select(TEST_RUNS).where(TEST_RUNS.c.test_run_id.in_(test_run_ids)))
            return {row["test_run_id"]: to_run(row) for row in found.mappings()}

    async def append_window(
        self, test_run_id: str, epoch: int, environment: Environment, transcripts: Sequence[Transcript]
    ) -> RunRecord:
        """Store the transcripts of one window, all or none, and return the run with its new counts.

        Raises:
            FailedPrecondition: The job was taken over since `epoch`, or the window does not follow what is stored.
        """
        async with self._database.session() as session:
            await fence(session, test_run_id, epoch)
            run = await _run(session, test_run_id)
            check_follows(run, transcripts)
            await session.execute(insert(TRANSCRIPTS), [transcript_row(item) for item in transcripts])
            num_tokens = sum(item.num_generated_tokens for item in transcripts)
            changes = {
                "environment": environment.to_document(),
                "num_transcripts": run.num_transcripts + len(transcripts),
                "num_generated_tokens": run.num_generated_tokens + num_tokens,
            }
            await session.execute(update(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id).values(changes))
            return await _run(session, test_run_id)

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        """Return a transcript, or None."""
        async with self._database.reading() as session:
            found = await session.execute(select(TRANSCRIPTS).where(TRANSCRIPTS.c.transcript_id == transcript_id))
            row = found.mappings().one_or_none()
            return None if row is None else to_transcript(row)

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        """Return up to `limit` transcripts after a place in the run, in their order."""
        wanted = (
            select(TRANSCRIPTS)
            .where(TRANSCRIPTS.c.test_run_id == test_run_id, TRANSCRIPTS.c.sequence > after_sequence)
            .order_by(TRANSCRIPTS.c.sequence)
            .limit(limit)
        )
        async with self._database.reading() as session:
            return tuple(to_transcript(row) for row in (await session.execute(wanted)).mappings())

    async def find_transcripts(self, test_run_id: str, case_ids: Collection[str]) -> tuple[Transcript, ...]:
        """Return the transcripts of these cases, all repeats."""
        wanted = select(TRANSCRIPTS).where(
            TRANSCRIPTS.c.test_run_id == test_run_id, TRANSCRIPTS.c.case_id.in_(case_ids)
        )
        async with self._database.reading() as session:
            return tuple(to_transcript(row) for row in (await session.execute(wanted)).mappings())

    async def stored_cases(self, test_run_id: str) -> frozenset[tuple[str, int]]:
        """Return case and repeat of every transcript of a run."""
        wanted = select(TRANSCRIPTS.c.case_id, TRANSCRIPTS.c.repeat).where(TRANSCRIPTS.c.test_run_id == test_run_id)
        async with self._database.reading() as session:
            return frozenset((case_id, repeat) for case_id, repeat in await session.execute(wanted))


def check_follows(run: RunRecord, transcripts: Sequence[Transcript]) -> None:
    """Return when a window continues what is stored of its run.

    Raises:
        FailedPrecondition: It does not.
    """
    expected = range(run.num_transcripts + 1, run.num_transcripts + 1 + len(transcripts))
    if [item.sequence for item in transcripts] != list(expected):
        raise FailedPrecondition(
            f"The window does not follow the {run.num_transcripts} transcripts of {run.test_run_id}.",
            "Continue the run after the transcripts that are stored.",
        )


async def _run(session: AsyncSession, test_run_id: str) -> RunRecord:
    found = await session.execute(select(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id))
    return to_run(found.mappings().one())

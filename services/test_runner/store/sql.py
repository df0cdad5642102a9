"""Runs and transcripts in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import fence
from services.test_runner.domain import Environment, FinishReason, Message, RunInputs, RunRecord, Transcript
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
            await session.execute(new.values(_run_row(record)).on_conflict_do_nothing())
            return await _run(session, record.test_run_id)

    async def get_run(self, test_run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        return (await self.get_runs([test_run_id])).get(test_run_id)

    async def get_runs(self, test_run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """Return those of the runs that are stored, by id."""
        async with self._database.reading() as session:
            found = await session.execute(select(TEST_RUNS).where(TEST_RUNS.c.test_run_id.in_(test_run_ids)))
            return {row["test_run_id"]: _to_run(row) for row in found.mappings()}

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
            await session.execute(insert(TRANSCRIPTS), [_transcript_row(item) for item in transcripts])
            changes = {
                "environment": environment.to_document(),
                "num_transcripts": run.num_transcripts + len(transcripts),
                "num_generated_tokens": run.num_generated_tokens + sum(len(item.token_ids) for item in transcripts),
            }
            await session.execute(update(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id).values(changes))
            return await _run(session, test_run_id)

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        """Return a transcript, or None."""
        async with self._database.reading() as session:
            found = await session.execute(select(TRANSCRIPTS).where(TRANSCRIPTS.c.transcript_id == transcript_id))
            row = found.mappings().one_or_none()
            return None if row is None else _to_transcript(row)

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        """Return up to `limit` transcripts after a place in the run, in their order."""
        wanted = (
            select(TRANSCRIPTS)
            .where(TRANSCRIPTS.c.test_run_id == test_run_id, TRANSCRIPTS.c.sequence > after_sequence)
            .order_by(TRANSCRIPTS.c.sequence)
            .limit(limit)
        )
        async with self._database.reading() as session:
            return tuple(_to_transcript(row) for row in (await session.execute(wanted)).mappings())


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
    return _to_run(found.mappings().one())


def _run_row(record: RunRecord) -> dict[str, Any]:
    return {
        "test_run_id": record.test_run_id,
        "inputs": record.inputs.to_document(),
        "environment": record.environment.to_document(),
        "num_transcripts": record.num_transcripts,
        "num_generated_tokens": record.num_generated_tokens,
    }


def _to_run(row: Mapping[Any, Any]) -> RunRecord:
    return RunRecord(
        test_run_id=row["test_run_id"],
        inputs=RunInputs.from_document(row["inputs"]),
        environment=Environment(**row["environment"]),
        num_transcripts=row["num_transcripts"],
        num_generated_tokens=row["num_generated_tokens"],
    )


def _transcript_row(item: Transcript) -> dict[str, Any]:
    return {
        "test_run_id": item.test_run_id,
        "sequence": item.sequence,
        "transcript_id": item.transcript_id,
        "case_id": item.case_id,
        "repeat": item.repeat,
        "messages": [[message.role, message.content] for message in item.messages],
        "token_ids": " ".join(map(str, item.token_ids)),
        "finish_reason": item.finish_reason.value,
        "num_prompt_tokens": item.num_prompt_tokens,
        "num_cached_tokens": item.num_cached_tokens,
        "prefill_seconds": item.prefill_seconds,
        "decode_seconds": item.decode_seconds,
    }


def _to_transcript(row: Mapping[Any, Any]) -> Transcript:
    return Transcript(
        test_run_id=row["test_run_id"],
        sequence=row["sequence"],
        case_id=row["case_id"],
        repeat=row["repeat"],
        messages=tuple(Message(role, content) for role, content in row["messages"]),
        token_ids=tuple(map(int, row["token_ids"].split())),
        finish_reason=FinishReason(row["finish_reason"]),
        num_prompt_tokens=row["num_prompt_tokens"],
        num_cached_tokens=row["num_cached_tokens"],
        prefill_seconds=row["prefill_seconds"],
        decode_seconds=row["decode_seconds"],
    )

"""Runs and transcripts in the service's database, SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, Text, cast, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, EncodedJson, dump_json, insert_if_absent, item_of, row_of
from services.chassis.database.lease import durable
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import fence
from services.chassis.machine.usage import add_tokens
from services.test_runner.domain import (
    AnswerTurn,
    Environment,
    FinishReason,
    Message,
    RunInputs,
    RunRecord,
    ToolCall,
    Transcript,
)
from services.test_runner.store.tables import TEST_RUNS, TRANSCRIPTS

MIGRATIONS = Path(__file__).with_name("migrations")
# What a turn keeps as it is; its token ids are in the column of the transcript's token ids.
_TURN_FIELDS = (
    *("message_index", "num_prompt_tokens", "num_cached_tokens", "num_generated_tokens"),
    *("queue_seconds", "prefill_seconds", "decode_seconds", "log_probs", "detail"),
)
# Reading so much takes no longer than handing it to another thread.
_SHORT_CHARACTERS = 100_000
# JSON as text: transcripts are long, and another thread than the event loop's reads it.
_TRANSCRIPT_COLUMNS = [
    cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column for column in TRANSCRIPTS.c
]


@durable
class SqlRunStore:
    """Keeps runs beside the jobs they belong to, so that a window is stored only by the job's owner."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_run(self, record: RunRecord) -> RunRecord:
        """Store a run, or return the one that is stored under its id already."""
        async with self._database.session() as session:
            inputs, environment = record.inputs.to_document(), record.environment.to_document()
            await insert_if_absent(
                session, TEST_RUNS, row_of(record, TEST_RUNS, inputs=inputs, environment=environment)
            )
            return await _run(session, record.test_run_id)

    async def get_run(self, test_run_id: str) -> RunRecord | None:
        """Return a run, or None."""
        return (await self.get_runs([test_run_id])).get(test_run_id)

    async def get_runs(self, test_run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        """Return those of the runs that are stored, by id."""
        async with self._database.reading() as session:
            rows = await session.execute(select(TEST_RUNS).where(TEST_RUNS.c.test_run_id.in_(test_run_ids)))
            return {row["test_run_id"]: _to_run(row) for row in rows.mappings()}

    async def append_window(
        self, test_run_id: str, epoch: int, environment: Environment, transcripts: Sequence[Transcript]
    ) -> RunRecord:
        """Store the transcripts of one window, all or none, and return the run with its new counts."""
        rows = await asyncio.to_thread(lambda: [_transcript_row(item) for item in transcripts])
        async with self._database.session() as session:
            job = await fence(session, test_run_id, epoch)
            run = await _run(session, test_run_id)
            if transcripts and run.num_transcripts == transcripts[-1].sequence:
                # This epoch stored them before; the answer was lost.
                return run
            check_follows(run, transcripts)
            await session.execute(insert(TRANSCRIPTS), rows)
            num_tokens = sum(item.num_generated_tokens for item in transcripts)
            await add_tokens(session, job.workspace_id, num_tokens)
            changes = {
                "environment": environment.to_document(),
                "num_transcripts": run.num_transcripts + len(transcripts),
                "num_generated_tokens": run.num_generated_tokens + num_tokens,
                "num_unanswered": run.num_unanswered + sum(not item.is_answered for item in transcripts),
            }
            await session.execute(update(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id).values(changes))
            return await _run(session, test_run_id)

    async def delete_run(self, test_run_id: str) -> None:
        """Remove a run and its transcripts; nothing happens when it is not there."""
        async with self._database.session() as session:
            for table in (TRANSCRIPTS, TEST_RUNS):
                await session.execute(delete(table).where(table.c.test_run_id == test_run_id))

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        """Return a transcript, or None."""
        return next(iter(await self._transcripts(_where(TRANSCRIPTS.c.transcript_id == transcript_id))), None)

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        """Return up to `limit` transcripts after a place in the run, in their order."""
        later = _where(TRANSCRIPTS.c.test_run_id == test_run_id, TRANSCRIPTS.c.sequence > after_sequence)
        return await self._transcripts(later.order_by(TRANSCRIPTS.c.sequence).limit(limit))

    async def find_transcripts(self, test_run_id: str, case_ids: Collection[str]) -> tuple[Transcript, ...]:
        """Return the transcripts of these cases, all repeats."""
        c = TRANSCRIPTS.c
        return await self._transcripts(_where(c.test_run_id == test_run_id, c.case_id.in_(case_ids)))

    async def stored_cases(self, test_run_id: str) -> frozenset[tuple[str, int]]:
        """Return case and repeat of every transcript of a run."""
        cases = select(TRANSCRIPTS.c.case_id, TRANSCRIPTS.c.repeat).where(TRANSCRIPTS.c.test_run_id == test_run_id)
        async with self._database.reading() as session:
            return frozenset((case_id, repeat) for case_id, repeat in await session.execute(cases))

    async def _transcripts(self, query: Select[Any]) -> tuple[Transcript, ...]:
        async with self._database.reading() as session:
            rows = (await session.execute(query)).mappings().all()
        if sum(len(row["messages"]) for row in rows) < _SHORT_CHARACTERS:
            return tuple(map(_to_transcript, rows))
        return await asyncio.to_thread(lambda: tuple(map(_to_transcript, rows)))


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


def _where(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(*_TRANSCRIPT_COLUMNS).where(*conditions)


async def _run(session: AsyncSession, test_run_id: str) -> RunRecord:
    rows = await session.execute(select(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id))
    return _to_run(rows.mappings().one())


def _to_run(row: Mapping[Any, Any]) -> RunRecord:
    inputs, environment = RunInputs.from_document(row["inputs"]), Environment(**row["environment"])
    return item_of(RunRecord, row, inputs=inputs, environment=environment)


def _transcript_row(transcript: Transcript) -> dict[str, Any]:
    return row_of(
        transcript,
        TRANSCRIPTS,
        transcript_id=transcript.transcript_id,
        messages=_encoded(map(_message_entry, transcript.messages)),
        token_ids=" ".join(map(str, transcript.token_ids)),
        turns=_encoded(map(_turn_entry, transcript.turns)),
    )


def _to_transcript(row: Mapping[Any, Any]) -> Transcript:
    token_ids = tuple(map(int, row["token_ids"].split()))
    messages = tuple(_to_message(*entry) for entry in json.loads(row["messages"]))
    turns = tuple(_to_turns(json.loads(row["turns"]), token_ids))
    return item_of(Transcript, row, messages=messages, token_ids=token_ids, turns=turns)


def _encoded(entries: Iterable[object]) -> EncodedJson:
    # Entry by entry: the encoder lets no other thread work before it has done.
    return EncodedJson(f"[{','.join(map(dump_json, entries))}]")


def _message_entry(message: Message) -> list[Any]:
    if not message.tool_calls and not message.tool_call_id:
        return [message.role, message.content]
    calls = [[call.tool_call_id, call.name, call.arguments] for call in message.tool_calls]
    return [message.role, message.content, calls, message.tool_call_id]


def _to_message(role: str, content: str, calls: Sequence[Sequence[str]] = (), tool_call_id: str = "") -> Message:
    return Message(role, content, tuple(ToolCall(*call) for call in calls), tool_call_id)


def _turn_entry(turn: AnswerTurn) -> dict[str, Any]:
    entry = {name: value for name in _TURN_FIELDS if (value := getattr(turn, name))}
    return {**entry, "finish_reason": turn.finish_reason.value, "num_ids": len(turn.token_ids)}


def _to_turns(entries: Sequence[Mapping[str, Any]], token_ids: tuple[int, ...]) -> Iterable[AnswerTurn]:
    place = 0
    for entry in entries:
        end = place + entry["num_ids"]
        values = {name: value for name, value in entry.items() if name != "num_ids"}
        values["finish_reason"] = FinishReason(entry["finish_reason"])
        values["log_probs"] = tuple(entry.get("log_probs", ()))
        yield AnswerTurn(**{"message_index": 0, **values, "token_ids": token_ids[place:end]})
        place = end

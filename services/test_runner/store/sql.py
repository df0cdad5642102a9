"""Runs and transcripts in the service's database, SQLite or PostgreSQL."""

import asyncio
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, Text, cast, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.chassis.database import Database, EncodedJson, dump_json, insert_if_absent, item_of, row_of
from services.chassis.database.lease import durable
from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobState, fence
from services.chassis.machine.usage import add_tokens
from services.test_runner.domain.test_run import Claim, Environment, Hold, RunInputs, RunRecord
from services.test_runner.domain.transcript import AnswerTurn, FinishReason, Message, ToolCall, Transcript
from services.test_runner.store.tables import TEST_RUNS, TRANSCRIPTS
from services.test_runner.store.windows import (
    check_claimed,
    claim,
    count_stored,
    delete_shares,
    fenced,
    num_tokens_of,
    windows_of,
)

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
            documents = {name: getattr(record, name).to_document() for name in ("inputs", "environment")}
            await insert_if_absent(session, TEST_RUNS, row_of(record, TEST_RUNS, **documents, helped_seconds={}))
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
        self, test_run_id: str, hold: Hold, environment: Environment, transcripts: Sequence[Transcript]
    ) -> RunRecord:
        """Store the transcripts of one window, all or none, and return the run with its new counts."""
        rows = await asyncio.to_thread(lambda: [_transcript_row(item) for item in transcripts])
        async with self._database.session() as session:
            job = await fenced(session, test_run_id, hold)
            is_divided = hold.window is not None
            run = await _run(session, test_run_id, is_divided=is_divided)
            if await _is_stored(session, run, hold, transcripts, environment):
                return run
            await session.execute(insert(TRANSCRIPTS), rows)
            await add_tokens(session, job.workspace_id, num_tokens_of(transcripts))
            await count_stored(session, run, hold, transcripts, environment)
            return await _run(session, test_run_id, is_divided=is_divided)

    async def set_environment(self, test_run_id: str, hold: Hold, environment: Environment) -> RunRecord:
        """Fix what generates all answers of a run, unless any are stored, and return the run."""
        async with self._database.session() as session:
            await fence(session, hold.job_id, hold.epoch)
            if not (await _run(session, test_run_id, is_divided=True)).has_stored:
                run = update(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id)
                await session.execute(run.values(environment=environment.to_document()))
            return await _run(session, test_run_id, is_divided=True)

    async def note_help(self, test_run_id: str, job_id: str, seconds: float) -> None:
        """Keep for how long a share of a run was worked on up to now; nothing happens when the run is gone."""
        of_run = TEST_RUNS.c.test_run_id == test_run_id
        async with self._database.session() as session:
            known = await session.execute(select(TEST_RUNS.c.helped_seconds).where(of_run).with_for_update())
            helped = {**(known.scalar_one_or_none() or {}), job_id: seconds}
            await session.execute(update(TEST_RUNS).where(of_run).values(helped_seconds=helped))

    async def take_window(self, test_run_id: str, hold: Hold, num_windows: int) -> Claim:
        """Claim the first window of `num_windows` that is neither stored nor held by a hold that lasts."""
        async with self._database.session() as session:
            job = await fenced(session, test_run_id, hold)
            run = await _run(session, test_run_id, is_divided=True)
            is_running = job.state is JobState.RUNNING
            window, num_others = await claim(session, run, hold, num_windows=num_windows, is_running=is_running)
            return Claim(window, num_others, run)

    async def delete_run(self, test_run_id: str) -> None:
        """Remove a run with its transcripts and shares; nothing happens when it is not there."""
        async with self._database.session() as session:
            await delete_shares(session, test_run_id)
            for table in (TRANSCRIPTS, TEST_RUNS):
                await session.execute(delete(table).where(table.c.test_run_id == test_run_id))

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        """Return a transcript, or None."""
        return next(iter(await self._transcripts(_where(TRANSCRIPTS.c.transcript_id == transcript_id))), None)

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        """Return up to `limit` transcripts after a place in the run, in their order."""
        # A reader goes by the sequence: what it has seen the end of must not grow before that.
        counted = select(TEST_RUNS.c.num_transcripts).where(TEST_RUNS.c.test_run_id == test_run_id).scalar_subquery()
        of_run, sequence = TRANSCRIPTS.c.test_run_id == test_run_id, TRANSCRIPTS.c.sequence
        later = _where(of_run, sequence > after_sequence, sequence <= counted)
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


async def _run(session: AsyncSession, test_run_id: str, *, is_divided: bool = False) -> RunRecord:
    rows = await session.execute(select(TEST_RUNS).where(TEST_RUNS.c.test_run_id == test_run_id))
    run = _to_run(rows.mappings().one())
    if not is_divided:
        return run
    return replace(run, num_ahead=sum(row["num_transcripts"] for row in await windows_of(session, test_run_id)))


async def _is_stored(
    session: AsyncSession, run: RunRecord, hold: Hold, transcripts: Sequence[Transcript], environment: Environment
) -> bool:
    """Return whether the window was stored before, as when the answer to that was lost."""
    if hold.window is not None:
        return not await check_claimed(session, run, hold, environment)
    if transcripts and run.num_transcripts == transcripts[-1].sequence:
        return True
    check_follows(run, transcripts)
    return False


def _to_run(row: Mapping[Any, Any]) -> RunRecord:
    inputs, environment = RunInputs.from_document(row["inputs"]), Environment(**row["environment"])
    helped = sum(row["helped_seconds"].values())
    return item_of(RunRecord, row, inputs=inputs, environment=environment, num_ahead=0, helped_seconds=helped)


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

"""Runs and transcripts in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobStore
from services.test_runner.domain import Environment, RunRecord, Transcript


class MemoryRunStore:
    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._runs: dict[str, RunRecord] = {}
        self._transcripts: dict[str, list[Transcript]] = {}

    async def add_run(self, record: RunRecord) -> RunRecord:
        return self._runs.setdefault(record.test_run_id, record)

    async def get_run(self, test_run_id: str) -> RunRecord | None:
        return self._runs.get(test_run_id)

    async def get_runs(self, test_run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        return {run_id: self._runs[run_id] for run_id in test_run_ids if run_id in self._runs}

    async def append_window(
        self, test_run_id: str, epoch: int, environment: Environment, transcripts: Sequence[Transcript]
    ) -> RunRecord:
        if (await self._jobs.get(test_run_id)).epoch != epoch:
            raise FailedPrecondition("The job was taken over.")
        stored = self._transcripts.setdefault(test_run_id, [])
        if [item.sequence for item in transcripts] != [len(stored) + 1 + place for place in range(len(transcripts))]:
            raise FailedPrecondition("The window does not follow what is stored.")
        stored.extend(transcripts)
        record = replace(
            self._runs[test_run_id],
            environment=environment,
            num_transcripts=len(stored),
            num_generated_tokens=sum(item.num_generated_tokens for item in stored),
        )
        self._runs[test_run_id] = record
        return record

    async def get_transcript(self, transcript_id: str) -> Transcript | None:
        every = (item for items in self._transcripts.values() for item in items)
        return next((item for item in every if item.transcript_id == transcript_id), None)

    async def list_transcripts(self, test_run_id: str, after_sequence: int, limit: int) -> tuple[Transcript, ...]:
        stored = self._transcripts.get(test_run_id, [])
        return tuple(item for item in stored if item.sequence > after_sequence)[:limit]

    async def find_transcripts(self, test_run_id: str, case_ids: Collection[str]) -> tuple[Transcript, ...]:
        return tuple(item for item in self._transcripts.get(test_run_id, []) if item.case_id in case_ids)

    async def stored_cases(self, test_run_id: str) -> frozenset[tuple[str, int]]:
        return frozenset((item.case_id, item.repeat) for item in self._transcripts.get(test_run_id, []))

"""Evaluations and verdicts in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobStore
from services.evaluator.domain.evaluation import EvaluationRecord, Tally
from services.evaluator.domain.verdict import Verdict, VerdictFilter
from services.evaluator.metrics import tally


class MemoryEvaluationStore:
    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._evaluations: dict[str, EvaluationRecord] = {}
        self._verdicts: dict[str, list[Verdict]] = {}

    async def add_evaluation(self, record: EvaluationRecord) -> EvaluationRecord:
        numbered = replace(record, ordinal=len(self._evaluations) + 1)
        return self._evaluations.setdefault(record.evaluation_id, numbered)

    async def get_evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        return self._evaluations.get(evaluation_id)

    async def list_evaluations(self, test_run_id: str, before: int | None, limit: int) -> tuple[EvaluationRecord, ...]:
        newest_first = sorted(self._evaluations.values(), key=lambda record: -record.ordinal)
        wanted = [
            record
            for record in newest_first
            if test_run_id in ("", record.subject.test_run_id) and (before is None or record.ordinal < before)
        ]
        return tuple(wanted[:limit])

    async def append_verdicts(self, evaluation_id: str, epoch: int, verdicts: Sequence[Verdict]) -> EvaluationRecord:
        if (await self._jobs.get(evaluation_id)).epoch != epoch:
            raise FailedPrecondition("The job was taken over.")
        stored = self._verdicts.setdefault(evaluation_id, [])
        if [item.sequence for item in verdicts] != [len(stored) + 1 + place for place in range(len(verdicts))]:
            raise FailedPrecondition("The verdicts do not follow what is stored.")
        stored.extend(verdicts)
        record = replace(self._evaluations[evaluation_id], num_verdicts=len(stored))
        self._evaluations[evaluation_id] = record
        return record

    async def list_verdicts(
        self, evaluation_id: str, wanted: VerdictFilter, *, after_sequence: int, limit: int
    ) -> tuple[Verdict, ...]:
        found = [
            item
            for item in self._verdicts.get(evaluation_id, [])
            if item.sequence > after_sequence
            and wanted.tool in ("", item.tool)
            and wanted.cause in ("", item.cause or "none")
        ]
        return tuple(found[:limit])

    async def tallies(self, evaluation_ids: Sequence[str]) -> Mapping[str, list[Tally]]:
        return {key: tally(self._verdicts[key]) for key in evaluation_ids if key in self._verdicts}

    async def outcomes(self, evaluation_id: str) -> Mapping[str, bool]:
        found: dict[str, bool] = {}
        for item in self._verdicts.get(evaluation_id, []):
            found[item.case_id] = found.get(item.case_id, True) and item.conforming
        return found

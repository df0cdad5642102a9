"""Evaluations and verdicts in memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobStore
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.metrics import Metrics, Quantiles
from services.evaluator.domain.parity import Outcome, OutcomePair
from services.evaluator.domain.tallies import CaseTally, Failing, Totals
from services.evaluator.domain.verdict import Verdict, VerdictFilter


class MemoryEvaluationStore:
    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._evaluations: dict[str, EvaluationRecord] = {}
        self._verdicts: dict[str, list[Verdict]] = {}

    async def add_evaluation(self, record: EvaluationRecord) -> EvaluationRecord:
        numbered = replace(record, ordinal=len(self._evaluations) + 1, totals=record.totals or Totals())
        return copy.deepcopy(self._evaluations.setdefault(record.evaluation_id, numbered))

    async def get_evaluation(self, evaluation_id: str) -> EvaluationRecord | None:
        return copy.deepcopy(self._evaluations.get(evaluation_id))

    async def list_evaluations(self, test_run_id: str, before: int | None, limit: int) -> tuple[EvaluationRecord, ...]:
        newest_first = sorted(self._evaluations.values(), key=lambda record: -record.ordinal)
        wanted = [
            record
            for record in newest_first
            if test_run_id in ("", record.subject.test_run_id) and (before is None or record.ordinal < before)
        ]
        return tuple(wanted[:limit])

    async def append_verdicts(
        self, evaluation_id: str, epoch: int, verdicts: Sequence[Verdict], totals: Totals
    ) -> EvaluationRecord:
        await self._fence(evaluation_id, epoch)
        stored = self._verdicts.setdefault(evaluation_id, [])
        if [item.sequence for item in verdicts] != [len(stored) + 1 + place for place in range(len(verdicts))]:
            raise FailedPrecondition("The verdicts do not follow what is stored.")
        stored.extend(verdicts)
        return self._change(evaluation_id, num_verdicts=len(stored), totals=copy.deepcopy(totals))

    async def add_scores(
        self, evaluation_id: str, epoch: int, scores: Mapping[int, Mapping[str, float]], *, through: int, totals: Totals
    ) -> EvaluationRecord:
        await self._fence(evaluation_id, epoch)
        stored = self._verdicts.setdefault(evaluation_id, [])
        for sequence, added in scores.items():
            known = stored[sequence - 1]
            stored[sequence - 1] = replace(known, scores={**known.scores, **added})
        return self._change(evaluation_id, num_graded=through, totals=copy.deepcopy(totals))

    async def finish(self, evaluation_id: str, epoch: int, metrics: Metrics) -> EvaluationRecord:
        await self._fence(evaluation_id, epoch)
        return self._change(evaluation_id, metrics=metrics)

    async def list_verdicts(
        self, evaluation_id: str, wanted: VerdictFilter, *, after_sequence: int, limit: int
    ) -> tuple[Verdict, ...]:
        found = [item for item in self._wanted(evaluation_id, wanted) if item.sequence > after_sequence]
        return tuple(found[:limit])

    async def count_verdicts(self, evaluation_id: str, wanted: VerdictFilter) -> int:
        return len(self._wanted(evaluation_id, wanted))

    async def case_tallies(self, evaluation_id: str, through: int | None = None) -> tuple[CaseTally, ...]:
        cases: dict[str, list[Verdict]] = {}
        for item in self._verdicts.get(evaluation_id, [])[:through]:
            cases.setdefault(item.case_id, []).append(item)
        return tuple(_tally(cases[case_id]) for case_id in sorted(cases))

    async def latency_quantiles(self, evaluation_id: str, through: int | None = None) -> Quantiles:
        known = sorted(
            item.spent.latency_seconds
            for item in self._verdicts.get(evaluation_id, [])[:through]
            if item.spent.latency_seconds > 0
        )
        return (
            Quantiles(*(known[math.ceil(share * len(known)) - 1] for share in (0.5, 0.95, 0.99)))
            if known
            else Quantiles()
        )

    async def failing(self, evaluation_id: str, through: int | None = None) -> tuple[Failing, ...]:
        return tuple(
            Failing(
                item.case_id, item.tool, item.category, item.layer, item.fault, item.cause, item.sentence, item.is_sole
            )
            for item in self._verdicts.get(evaluation_id, [])[:through]
            if not item.conforming
        )

    async def outcome_pairs(self, before_id: str, after_id: str) -> tuple[OutcomePair, ...]:
        old, new = (
            {(one.case_id, one.repeat): one for one in self._verdicts.get(key, [])} for key in (before_id, after_id)
        )
        return tuple(_pair(old[key], new[key]) for key in sorted(old.keys() & new.keys()))

    def _wanted(self, evaluation_id: str, wanted: VerdictFilter) -> list[Verdict]:
        return [
            item
            for item in self._verdicts.get(evaluation_id, [])
            if wanted.tool in ("", item.tool)
            and wanted.cause in ("", item.cause or "none")
            and (wanted.category in ("", item.category) or item.category.startswith(f"{wanted.category}."))
            and wanted.layer in ("", item.layer)
            and wanted.case_id in ("", item.case_id)
        ]

    async def _fence(self, evaluation_id: str, epoch: int) -> None:
        if (await self._jobs.get(evaluation_id)).epoch != epoch:
            raise FailedPrecondition("The job was taken over.")

    def _change(self, evaluation_id: str, **values: object) -> EvaluationRecord:
        record = replace(self._evaluations[evaluation_id], **values)  # type: ignore[arg-type]
        self._evaluations[evaluation_id] = record
        return copy.deepcopy(record)


def _tally(verdicts: Sequence[Verdict]) -> CaseTally:
    first = verdicts[0]
    recovering = [item for item in verdicts if item.had_client_error or item.category.partition(".")[0] == "recovery"]
    return CaseTally(
        case_id=first.case_id,
        tool=first.tool,
        category=first.category,
        count=len(verdicts),
        conforming=sum(item.conforming for item in verdicts),
        accepted=sum(item.accepted for item in verdicts),
        well_formed=sum(item.well_formed for item in verdicts),
        num_recovering=len(recovering),
        num_recovered=sum(item.conforming for item in recovering),
    )


def _pair(before: Verdict, after: Verdict) -> OutcomePair:
    tokens = (before.spent.num_prompt_tokens, after.spent.num_prompt_tokens)
    is_known = before.num_turns == after.num_turns == 1 and all(tokens)
    return OutcomePair(before.case_id, before.repeat, _outcome(before), _outcome(after), tokens if is_known else None)


def _outcome(verdict: Verdict) -> Outcome:
    return Outcome(verdict.conforming, verdict.accepted, verdict.well_formed, verdict.cause, verdict.layer)

"""The job of an evaluation: judges what a run has stored, and follows it until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently, with_heartbeat
from services.evaluator.domain.evaluation import KIND, EvaluationRecord, Metrics, Tally
from services.evaluator.judging import judge_all, profile_of
from services.evaluator.metrics import reduce_tallies, tally
from services.evaluator.ports import EvaluationStore, RunStatus, Suites, TestRuns
from services.evaluator.telemetry import EvaluatorTelemetry
from services.protocols.cases import Case
from services.protocols.profile import Profile

HEARTBEAT_SECONDS = 2.0
PATIENCE_SECONDS = 600.0


@dataclass
class _Task:
    """What an evaluation needs from start to end; `record` and `tallies` are as they are stored."""

    context: JobContext
    record: EvaluationRecord
    profile: Profile
    cases: Mapping[str, Case]
    tallies: list[Tally]

    @property
    def metrics(self) -> Metrics:
        return reduce_tallies(self.tallies)


class EvaluationJob:
    """Judges every transcript of a run once. One whose process died goes on after the last verdict that is stored."""

    kind = KIND

    def __init__(
        self, *, store: EvaluationStore, runs: TestRuns, suites: Suites, telemetry: EvaluatorTelemetry
    ) -> None:
        self._store = store
        self._runs = runs
        self._suites = suites
        self._telemetry = telemetry

    async def __call__(self, context: JobContext) -> Json:
        """Store a verdict for every transcript of the run, and return the overall rates."""
        task = await self._task(context)
        await self._judge_what_is_there(task)
        run = await self._run_of(task)
        if not run.is_final:
            await self._follow(task, run)
            run = await self._run_of(task)
        await self._judge_what_is_there(task)
        await _tell_if_incomplete(task, run)
        return {"is_complete": _is_complete(task), **asdict(task.metrics.overall)}

    async def _task(self, context: JobContext) -> _Task:
        record = await self._record(context)
        suite = record.subject.test_suite_version_id
        cases = await patiently(lambda: self._suites.list_cases(suite), PATIENCE_SECONDS)
        tallies = await self._store.tallies([record.evaluation_id])
        return _Task(
            context=context,
            record=record,
            profile=profile_of(record.subject.profile_id),
            cases={case.case_id: case for case in cases},
            tallies=tallies.get(record.evaluation_id, []),
        )

    async def _record(self, context: JobContext) -> EvaluationRecord:
        # The process may have died after it stored the job and before it stored what is judged.
        evaluation_id, test_run_id = context.job.job_id, str(context.job.spec["test_run_id"])
        known = await self._store.get_evaluation(evaluation_id)
        if known is not None:
            return known
        run = await patiently(lambda: self._runs.get_run(test_run_id), PATIENCE_SECONDS)
        profile = profile_of(run.subject.profile_id)
        return await self._store.add_evaluation(EvaluationRecord(evaluation_id, run.subject, profile.digest))

    async def _run_of(self, task: _Task) -> RunStatus:
        return await patiently(lambda: self._runs.get_run(task.record.subject.test_run_id), PATIENCE_SECONDS)

    async def _follow(self, task: _Task, run: RunStatus) -> None:
        changes = self._runs.changes(run.subject.test_run_id, run.last_sequence)
        async with aclosing(with_heartbeat(changes, HEARTBEAT_SECONDS)) as beats:
            async for _ in beats:
                await self._judge_what_is_there(task)

    async def _judge_what_is_there(self, task: _Task) -> None:
        await _report(task)
        run_id = task.record.subject.test_run_id
        while transcripts := await patiently(
            lambda: self._runs.list_transcripts(run_id, task.record.num_verdicts), PATIENCE_SECONDS
        ):
            verdicts = await asyncio.to_thread(judge_all, task.profile, task.cases, transcripts)
            task.record = await self._store.append_verdicts(task.record.evaluation_id, task.context.epoch, verdicts)
            task.tallies.extend(tally(verdicts))
            self._telemetry.judged(verdicts)
            await task.context.event("counts", _counts(task))
            await _report(task)


async def _report(task: _Task) -> None:
    await task.context.progress(
        phase="judge",
        done=task.record.num_verdicts,
        total=task.record.subject.num_transcripts_total,
        unit="verdicts",
        message="All answers are judged." if _is_complete(task) else "Waiting for the run's next answers.",
    )


async def _tell_if_incomplete(task: _Task, run: RunStatus) -> None:
    if _is_complete(task):
        return
    reason = f"The test run {run.subject.test_run_id} ended as {run.state}" + (
        f": {run.problem}" if run.problem else "."
    )
    judged, total = task.record.num_verdicts, task.record.subject.num_transcripts_total
    if not judged:
        raise FailedPrecondition(f"{reason} It has no transcripts to judge.", "Start a new run and judge that one.")
    await task.context.event("message", {"text": f"{reason} {judged} of {total} answers were there and are judged."})


def _is_complete(task: _Task) -> bool:
    return task.record.num_verdicts == task.record.subject.num_transcripts_total


def _counts(task: _Task) -> Json:
    metrics = task.metrics
    total = metrics.overall.num_cases
    return {
        "num_cases": total,
        "num_conforming": round(metrics.overall.conforming_rate * total),
        "num_accepted": round(metrics.overall.accepted_rate * total),
        "num_well_formed": round(metrics.overall.well_formed_rate * total),
        "by_cause": dict(metrics.by_cause),
    }

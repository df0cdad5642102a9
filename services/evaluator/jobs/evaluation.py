"""The job of an evaluation: judges what a run has stored, and follows it until it ends."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobContext, Json
from services.chassis.waiting import patiently, with_heartbeat
from services.chassis.wire import from_document
from services.evaluator.domain.evaluation import KIND, EvaluationPhase, EvaluationRecord, ModelGrader
from services.evaluator.domain.tallies import Totals
from services.evaluator.jobs.grading import Grading
from services.evaluator.judging.answers import Judge, profile_of
from services.evaluator.metrics.reduction import current_totals, gather_metrics
from services.evaluator.ports import ChatModels, EvaluationStore, RunStatus, Suites, TestRuns, Transcript
from services.evaluator.telemetry import EvaluatorTelemetry
from services.protocols.cases import Case

HEARTBEAT_SECONDS = 2.0
_REGISTRY, _TEST_RUNNER = "the registry", "the test runner"


@dataclass
class _Task:
    """What an evaluation needs from start to end; `record` and `totals` are as they are stored."""

    context: JobContext
    record: EvaluationRecord
    judge: Judge
    cases: Mapping[str, Case]
    totals: Totals


class EvaluationJob:
    """Judges every transcript of a run once. One whose process died goes on after the last verdict that is stored."""

    kind = KIND

    def __init__(
        self,
        *,
        store: EvaluationStore,
        runs: TestRuns,
        suites: Suites,
        models: ChatModels,
        telemetry: EvaluatorTelemetry,
    ) -> None:
        self._store, self._runs, self._suites, self._models = store, runs, suites, models
        self._telemetry = telemetry

    async def __call__(self, context: JobContext) -> Json:
        """Store a verdict for every transcript of the run, then scores and metrics; return the overall rates."""
        task = await self._task(context)
        run = await self._run_of(task)
        if not run.is_final:
            await self._follow(task, run)
            run = await self._run_of(task)
        await self._judge_stored(task)
        await _report_if_incomplete(task, run)
        if task.record.grader is not None:
            grading = Grading(
                context=context, store=self._store, runs=self._runs, models=self._models, telemetry=self._telemetry
            )
            task.record = await grading.grade(task.record, task.cases, task.totals)
        metrics = await gather_metrics(self._store, task.record)
        await self._store.finish(task.record.evaluation_id, context.epoch, metrics)
        return {"is_complete": _is_complete(task), **asdict(metrics.overall)}

    async def _task(self, context: JobContext) -> _Task:
        record = await self._record(context)
        suite = record.subject.test_suite_version_id
        cases = await patiently(lambda: self._suites.list_cases(suite), _REGISTRY)
        return _Task(
            context=context,
            record=record,
            judge=Judge(profile_of(record.subject.profile_id), record.subject.prompt_size),
            cases={case.case_id: case for case in cases},
            totals=await current_totals(self._store, record),
        )

    async def _record(self, context: JobContext) -> EvaluationRecord:
        # The process may have died after it stored the job and before it stored what is judged.
        evaluation_id, test_run_id = context.job.job_id, str(context.job.spec["test_run_id"])
        if (record := await self._store.get_evaluation(evaluation_id)) is not None:
            return record
        run = await patiently(lambda: self._runs.get_run(test_run_id), _TEST_RUNNER)
        profile = profile_of(run.subject.profile_id)
        settings = context.job.spec.get("model_grader")
        grader = from_document(ModelGrader, settings) if settings else None
        return await self._store.add_evaluation(
            EvaluationRecord(evaluation_id, run.subject, profile.digest, grader=grader, totals=Totals())
        )

    async def _run_of(self, task: _Task) -> RunStatus:
        return await patiently(lambda: self._runs.get_run(task.record.subject.test_run_id), _TEST_RUNNER)

    async def _follow(self, task: _Task, run: RunStatus) -> None:
        changes = self._runs.changes(run.subject.test_run_id, run.last_sequence)
        await self._judge_stored(task)
        async with aclosing(with_heartbeat(changes, HEARTBEAT_SECONDS)) as beats:
            async for event in beats:
                # In a silence there is nothing new to judge, and to ask for it would cost both services.
                await (_report(task) if event is None else self._judge_stored(task))
                task.context.waits = True
        task.context.waits = False

    async def _judge_stored(self, task: _Task) -> None:
        await _report(task)
        async with aclosing(self._pages(task.record)) as pages:
            async for transcripts in pages:
                await self._judge(task, transcripts)

    async def _judge(self, task: _Task, transcripts: tuple[Transcript, ...]) -> None:
        verdicts = await asyncio.to_thread(task.judge.judge_all, task.cases, transcripts)
        task.totals.add(verdicts)
        task.record = await self._store.append_verdicts(
            task.record.evaluation_id, task.context.epoch, verdicts, task.totals
        )
        self._telemetry.judged(task.record.subject.profile_id, verdicts)
        await task.context.event("counts", _counts(task.totals))
        await _report(task)

    async def _pages(self, record: EvaluationRecord) -> AsyncGenerator[tuple[Transcript, ...]]:
        """Yield the run's further transcripts in pages, fetching one while the page before it is judged."""
        run_id, after = record.subject.test_run_id, record.num_verdicts
        pending = asyncio.create_task(self._page(run_id, after))
        try:
            while page := await pending:
                after += len(page)
                pending = asyncio.create_task(self._page(run_id, after))
                yield page
        finally:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)

    async def _page(self, run_id: str, after: int) -> tuple[Transcript, ...]:
        return await patiently(lambda: self._runs.list_transcripts(run_id, after), _TEST_RUNNER)


async def _report(task: _Task) -> None:
    await task.context.progress(
        phase=EvaluationPhase.JUDGE,
        done=task.record.num_verdicts,
        total=task.record.subject.num_transcripts_total,
        unit="verdicts",
        message="All answers are judged." if _is_complete(task) else "Waiting for the run's next answers.",
    )


async def _report_if_incomplete(task: _Task, run: RunStatus) -> None:
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


def _counts(totals: Totals) -> Json:
    return {
        "num_cases": totals.num_answered,
        "num_unanswered": totals.num_unanswered,
        "num_conforming": totals.conforming,
        "num_accepted": totals.accepted,
        "num_well_formed": totals.well_formed,
        "by_cause": dict(sorted(totals.causes.items(), key=lambda entry: (-entry[1], entry[0]))),
    }

"""An evaluator without processes: jobs and store in memory, a run that grows on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from services.chassis.errors import NotFound, Unavailable
from services.chassis.jobs import Job, JobRunner, JobStore, SqlJobStore
from services.chassis.telemetry import Telemetry
from services.chassis.wire import from_document
from services.evaluator.domain.evaluation import ModelGrader
from services.evaluator.domain.parity import RunDifference
from services.evaluator.domain.run import Sampling, Subject
from services.evaluator.domain.verdict import Spent
from services.evaluator.jobs.evaluation import EvaluationJob
from services.evaluator.ports import AnswerEnd, ChatModels, GivenAnswer, RunStatus, Transcript
from services.evaluator.store.sql import MIGRATIONS, SqlEvaluationStore, delete_evaluation
from services.evaluator.telemetry import EvaluatorTelemetry
from services.evaluator.usecases.comparisons import ComparisonUseCases
from services.evaluator.usecases.evaluations import EvaluationUseCases
from services.evaluator.usecases.exports import ExportUseCases
from services.evaluator.usecases.judgements import JudgementUseCases
from services.evaluator.usecases.verdicts import VerdictUseCases
from services.protocols.cases import Case
from services.protocols.profile import get_profile
from services.protocols.turn import Message
from tests.fakes.databases import new_database
from tests.machine import PATIENCE_SECONDS

PROFILE = get_profile("roo_xml")
CASES = tuple(PROFILE.draw(1, 13, categories=("single_call",)))


def sampling(**values: Any) -> Sampling:
    """How tokens are chosen, what is not said by default."""
    return from_document(Sampling, values)


def subject(test_run_id: str = "run-1", *, num_repeats: int = 1) -> Subject:
    return Subject(
        test_run_id=test_run_id,
        model_version_id="tiny@1",
        test_suite_version_id="roo_xml/core@1",
        test_suite_digest="sha256:suite",
        profile_id="roo_xml",
        profile_digest=PROFILE.digest,
        prompt_size="compact",
        sampling=sampling(),
        num_repeats=num_repeats,
        seed=0,
        num_transcripts_total=len(CASES) * num_repeats,
    )


def transcript(
    sequence: int, transcript_id: str, case: Case, *texts: str, repeat: int = 0, end: AnswerEnd = AnswerEnd.STOP
) -> Transcript:
    """A transcript of these answers, of which the last has this end."""
    ends = [AnswerEnd.STOP] * (len(texts) - 1) + [end]
    answers = tuple(GivenAnswer(text, one, num_prompt_tokens=9) for text, one in zip(texts, ends, strict=True))
    messages: list[Message] = [{"role": "system", "content": "The rules."}, {"role": "user", "content": case.task}]
    messages += [{"role": "assistant", "content": text} for text in texts]
    spent = Spent(9 * len(texts), 3, 5 * len(texts), 0.25 * sequence, 0.5)
    return Transcript(sequence, transcript_id, case.case_id, repeat, answers, spent, tuple(messages))


class FakeModels:
    """A grader that answers as the test says; it fails where no answer is left."""

    def __init__(self, answer: Callable[[str, str], str]) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def open(self, grader: ModelGrader) -> FakeModels:
        return self

    async def ask(self, system: str, user: str, schema: Mapping[str, object]) -> str:
        self.asked.append((system, user))
        return self.answer(system, user)


class FakeRuns:
    """Runs whose transcripts and ends the test decides; `num_outages` calls fail before one works."""

    def __init__(self) -> None:
        self.runs: dict[str, RunStatus] = {}
        self.transcripts: dict[str, list[Transcript]] = {}
        self.num_outages = self.num_pages = 0
        self.difference = RunDifference(0, 0, ())
        self.followed = asyncio.Event()
        self._changed = asyncio.Event()

    def add(self, run: Subject) -> None:
        self.runs[run.test_run_id] = RunStatus(run, "RUNNING", False, 0, last_sequence=1)
        self.transcripts[run.test_run_id] = []

    def answer(self, run_id: str, count: int, *, wrong: Sequence[int] = (), end: AnswerEnd = AnswerEnd.STOP) -> None:
        """Add answers to the next cases, right ones except for the 1-based sequences in `wrong`."""
        stored = self.transcripts[run_id]
        for sequence in range(len(stored) + 1, len(stored) + count + 1):
            case = CASES[(sequence - 1) % len(CASES)]
            text = "I would rather not." if sequence in wrong else PROFILE.reference_answer(case)
            repeat = (sequence - 1) // len(CASES)
            stored.append(transcript(sequence, f"{run_id}-{sequence}", case, text, repeat=repeat, end=end))
        self._change(run_id, num_transcripts=len(stored))

    def finish(self, run_id: str, state: str = "SUCCEEDED", problem: str = "") -> None:
        self._change(run_id, state=state, is_final=True, problem=problem)

    async def get_run(self, test_run_id: str) -> RunStatus:
        if test_run_id not in self.runs:
            raise NotFound(f"There is no test run {test_run_id}.", "List the runs.")
        return self.runs[test_run_id]

    async def list_transcripts(self, test_run_id: str, after_sequence: int) -> tuple[Transcript, ...]:
        if self.num_outages:
            self.num_outages -= 1
            raise Unavailable("The test runner is away.", "Try again.")
        self.num_pages += 1
        return tuple(self.transcripts[test_run_id][after_sequence : after_sequence + 5])

    async def changes(self, test_run_id: str, after_event: int) -> AsyncGenerator[int]:
        seen = after_event
        while True:
            run = self.runs[test_run_id]
            if run.last_sequence > seen:
                seen = run.last_sequence
                yield seen
            elif run.is_final:
                return
            else:
                self.followed.set()
                await self._changed.wait()
                self._changed.clear()

    async def compare(self, before_test_run_id: str, after_test_run_id: str) -> RunDifference:
        return self.difference

    def _change(self, run_id: str, **values: object) -> None:
        run = self.runs[run_id]
        self.runs[run_id] = replace(run, last_sequence=run.last_sequence + 1, **values)  # type: ignore[arg-type]
        self._changed.set()


class FakeSuites:
    def __init__(self, cases: tuple[Case, ...] = CASES) -> None:
        self.cases = cases

    async def list_cases(self, test_suite_version_id: str) -> tuple[Case, ...]:
        return self.cases


class FakeVersions:
    async def check_model_version(self, model_version_id: str) -> None:
        if model_version_id != "tiny@1":
            raise NotFound(f"There is no model version {model_version_id!r}.", "List the models.")


class Bench:
    """One service's parts; `restart` makes a second process over the same stores."""

    def __init__(
        self,
        *,
        jobs: JobStore | None = None,
        store: SqlEvaluationStore | None = None,
        runs: FakeRuns | None = None,
        suites: FakeSuites | None = None,
        models: ChatModels | None = None,
    ) -> None:
        database = new_database(MIGRATIONS)
        self.jobs = jobs or SqlJobStore(database)
        self.store = store or SqlEvaluationStore(database)
        self.runs = runs or FakeRuns()
        self.telemetry = Telemetry()
        self.models = models or FakeModels(lambda _system, _user: '{"reason": "", "score": 0}')
        self.evaluations = EvaluationUseCases(
            jobs=self.jobs,
            store=self.store,
            runs=self.runs,
            models=self.models,
            versions=FakeVersions(),
            forget=partial(delete_evaluation, database),
        )
        self.verdicts = VerdictUseCases(store=self.store, evaluations=self.evaluations)
        self.judgements = JudgementUseCases()
        self.comparisons = ComparisonUseCases(store=self.store, evaluations=self.evaluations, runs=self.runs)
        self.exports = ExportUseCases(
            store=self.store,
            evaluations=self.evaluations,
            comparisons=self.comparisons,
            runs=self.runs,
            suites=suites or FakeSuites(),
        )
        job = EvaluationJob(
            store=self.store,
            runs=self.runs,
            suites=suites or FakeSuites(),
            models=self.models,
            telemetry=EvaluatorTelemetry(self.telemetry),
        )
        self.runner = JobRunner(self.jobs, owner="me", is_only_owner=True)
        self.runner.register(job.kind, job, limit=4)

    def restart(self) -> Bench:
        return Bench(jobs=self.jobs, store=self.store, runs=self.runs, models=self.models)

    async def evaluated(
        self,
        run: Subject,
        *,
        wrong: Sequence[int] = (),
        count: int | None = None,
        grader: ModelGrader | None = None,
    ) -> str:
        """Return the id of a finished evaluation of a run with these answers."""
        self.runs.add(run)
        self.runs.answer(run.test_run_id, run.num_transcripts_total if count is None else count, wrong=wrong)
        self.runs.finish(run.test_run_id)
        created = await self.evaluations.create(f"of {run.test_run_id}", run.test_run_id, grader)
        await self.work(created.job.job_id)
        return created.job.job_id

    async def work(self, evaluation_id: str) -> Job:
        """Run jobs until this one has ended, and return it."""
        await self.runner.start()
        try:
            await self.until(evaluation_id, lambda job: job.is_final)
        finally:
            await self.runner.stop(1.0)
        return await self.jobs.get(evaluation_id)

    async def until(self, evaluation_id: str, is_reached: Callable[[Job], bool]) -> None:
        """Wait until the job is as wanted."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_reached(await self.jobs.get(evaluation_id)):
                with self.jobs.bell.listen(f"events:{evaluation_id}") as listener:
                    await listener.wait(0.05)

    async def events(self, evaluation_id: str, type_: str) -> list[dict[str, object]]:
        return [event.payload for event in await self.jobs.events(evaluation_id) if event.type == type_]

"""Trials: a version answers a suite and the answers are judged, with nothing done twice by whatever is killed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from services.chassis.errors import FailedPrecondition
from services.feedback.domain.rounds import Step
from services.feedback.domain.spending import Cost
from services.feedback.domain.work import TestOrder
from services.feedback.jobs.record import LoopRecord
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports.neighbours import Evaluator, TestRunner
from services.protocols.verdict import UNANSWERED

# A machine that fails at the same cases for the third time has to be mended by someone.
_MAX_FINISHES = 2


@dataclass(frozen=True)
class RunIds:
    """The run of a trial and its evaluation; empty until they have begun."""

    test_run_id: str
    evaluation_id: str


@dataclass(frozen=True)
class Trial:
    """A suite that a version answers.

    Attributes:
        order: What is answered, by which version and how.
        test: The step under which the run is told.
        evaluate: The step under which the judging is told; where it is the same one, the caller tells both.
        ids: Returns the ids that the round holds now.
        keep: Records ids in the round, by their names, and at the same time further fields of the round.
        name: Of the run's requests; empty for the step's own.
    """

    order: TestOrder
    test: Step
    evaluate: Step
    ids: Callable[[], RunIds]
    keep: Callable[..., Awaitable[None]]
    name: str = ""

    @property
    def run_name(self) -> str:
        """Under which the run is asked for."""
        return self.name or str(self.test)

    @property
    def evaluation_name(self) -> str:
        """Under which the evaluation is asked for."""
        return f"{self.name}-evaluate" if self.name else str(self.evaluate)


class Trials:
    """Carries out the trials of the round that a record is at, going on from what the record holds."""

    def __init__(self, test_runner: TestRunner, evaluator: Evaluator, record: LoopRecord) -> None:
        self._test_runner = test_runner
        self._evaluator = evaluator
        self._record = record

    async def judge(self, trial: Trial) -> str:
        """Have a suite answered, evaluate the run and return the evaluation's id; the caller tells that it has ended.

        Raises:
            FailedPrecondition: Answers are missing although they were asked for again.
        """
        record, is_complete = self._record, False
        while not is_complete:
            run_id = trial.ids().test_run_id or await uninterrupted(self._start_run(trial))
            message = f"{trial.order.model_version_id} on {trial.order.test_suite_version_id}: test run {run_id}"
            await record.started(trial.test, message, test_run_id=run_id)
            evaluation_id = trial.ids().evaluation_id or await uninterrupted(self._start_evaluation(trial, run_id))
            if trial.evaluate is not trial.test:
                await record.started(trial.evaluate, f"evaluation {evaluation_id}", evaluation_id=evaluation_id)
            state = await until_ended(self._test_runner, run_id, "test run", partial(record.report, trial.test))
            is_complete = not await self._test_runner.is_incomplete(run_id)
            await self._count(trial, run_id, state.seconds, is_complete=is_complete)
            if not is_complete:
                await uninterrupted(self._finish_run(trial, run_id))
        if trial.evaluate is not trial.test:
            await record.finished(trial.test, f"Test run {run_id} has ended.", test_run_id=run_id)
        report = partial(record.report, trial.evaluate)
        await until_ended(self._evaluator, evaluation_id, "evaluation", report)
        return evaluation_id

    async def _start_run(self, trial: Trial) -> str:
        run_id = await self._test_runner.start(self._record.request_id(trial.run_name), trial.order)
        await trial.keep({"test_run_id": run_id})
        return run_id

    async def _start_evaluation(self, trial: Trial, run_id: str) -> str:
        number = self._num_finishes(trial)
        name = trial.evaluation_name + f"-finish-{number}" * bool(number)
        evaluation_id = await self._evaluator.start(self._record.request_id(name), run_id)
        await trial.keep({"evaluation_id": evaluation_id})
        return evaluation_id

    async def _finish_run(self, trial: Trial, run_id: str) -> None:
        """Have the cases asked that a run did not answer; what is judged then is the run that has all answers.

        Raises:
            FailedPrecondition: They were asked again often enough.
        """
        record, number = self._record, self._num_finishes(trial) + 1
        if number > _MAX_FINISHES:
            raise FailedPrecondition(
                f"The test run {run_id} has too few answers to decide on, though what was missing was asked again "
                f"{_MAX_FINISHES} times.",
                f"Mend what `drillyard test-runs transcripts {run_id} --cause {UNANSWERED}` names, then start another "
                f"loop from {record.round.model_version_id}.",
            )
        name = f"{trial.run_name}-finish-{number}"
        finishing_id = await self._test_runner.finish(record.request_id(name), run_id)
        num_finishes = {**record.round.num_finishes, trial.run_name: number}
        await trial.keep({"test_run_id": finishing_id, "evaluation_id": ""}, num_finishes=num_finishes)

    async def _count(self, trial: Trial, run_id: str, seconds: float, *, is_complete: bool) -> None:
        """Record what a run took; the tokens of one that another finishes are among that one's."""
        number = self._num_finishes(trial)
        name = trial.run_name + f"-finish-{number}" * bool(number)
        num_tokens = await self._test_runner.num_generated_tokens(run_id) if is_complete else 0
        cost = Cost(seconds=seconds, num_generated_tokens=num_tokens)
        await self._record.update(costs={**self._record.round.costs, name: cost})

    def _num_finishes(self, trial: Trial) -> int:
        return self._record.round.num_finishes.get(trial.run_name, 0)

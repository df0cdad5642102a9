"""A trial: one model version answers one suite, and the answers are judged."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from services.feedback.domain.rounds import Step
from services.feedback.domain.work import TestOrder
from services.feedback.jobs.journal import Journal
from services.feedback.jobs.waiting import uninterrupted, until_ended
from services.feedback.ports import Evaluator, TestRunner


@dataclass(frozen=True)
class TrialSteps:
    """The two steps of a trial, and the fields of a round that keep their ids."""

    test: Step
    evaluate: Step
    test_run_field: str
    evaluation_field: str


SUITE_TRIAL = TrialSteps(Step.TEST, Step.EVALUATE, "test_run_id", "evaluation_id")
PROBE_TRIAL = TrialSteps(Step.PROBE, Step.PROBE_EVALUATE, "probe_test_run_id", "probe_evaluation_id")


@dataclass(frozen=True)
class Trial:
    """Who answers what."""

    steps: TrialSteps
    model_version_id: str
    test_suite_version_id: str


class TrialRunner:
    """Carries out trials by the test runner and the evaluator, going on from what the journal holds."""

    def __init__(self, test_runner: TestRunner, evaluator: Evaluator) -> None:
        self._test_runner = test_runner
        self._evaluator = evaluator

    async def run(self, journal: Journal, trial: Trial) -> str:
        """Test and evaluate, and return the id of the ended evaluation; it is told as finished by the caller."""
        steps = trial.steps
        run_id = getattr(journal.round, steps.test_run_field) or await uninterrupted(self._start_run(journal, trial))
        whose = f"{trial.model_version_id} on {trial.test_suite_version_id}"
        await journal.started(steps.test, f"{whose}: test run {run_id}", test_run_id=run_id)
        evaluation_id = getattr(journal.round, steps.evaluation_field) or await uninterrupted(
            self._start_evaluation(journal, trial, run_id)
        )
        await journal.started(steps.evaluate, f"evaluation {evaluation_id}", evaluation_id=evaluation_id)
        await until_ended(self._test_runner, run_id, "test run", partial(journal.report, steps.test))
        await journal.finished(steps.test, f"Test run {run_id} has ended.", test_run_id=run_id)
        await until_ended(self._evaluator, evaluation_id, "evaluation", partial(journal.report, steps.evaluate))
        return str(evaluation_id)

    async def _start_run(self, journal: Journal, trial: Trial) -> str:
        spec = journal.spec
        order = TestOrder(
            model_version_id=trial.model_version_id,
            test_suite_version_id=trial.test_suite_version_id,
            prompt_size=spec.prompt_size,
            max_new_tokens=spec.max_new_tokens,
            seed=spec.seed,
        )
        run_id = await self._test_runner.start(journal.request_id(trial.steps.test), order)
        await journal.record(**{trial.steps.test_run_field: run_id})
        return run_id

    async def _start_evaluation(self, journal: Journal, trial: Trial, run_id: str) -> str:
        evaluation_id = await self._evaluator.start(journal.request_id(trial.steps.evaluate), run_id)
        await journal.record(**{trial.steps.evaluation_field: evaluation_id})
        return evaluation_id

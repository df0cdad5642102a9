"""What callers may do with comparisons."""

import asyncio

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobState
from services.evaluator.comparison.parity import Form, check_parity
from services.evaluator.comparison.progress import compare
from services.evaluator.comparison.refusal import refuse_other_cases
from services.evaluator.domain.comparison import Comparison, Side
from services.evaluator.domain.evaluation import EvaluationRecord
from services.evaluator.domain.parity import Parity
from services.evaluator.domain.tallies import Failing
from services.evaluator.ports import EvaluationStore, TestRuns
from services.evaluator.usecases.evaluations import Evaluation, EvaluationUseCases


class ComparisonUseCases:
    """Compares evaluations."""

    def __init__(self, *, store: EvaluationStore, evaluations: EvaluationUseCases, runs: TestRuns) -> None:
        self._store = store
        self._evaluations = evaluations
        self._runs = runs

    async def compare(self, before_evaluation_id: str, after_evaluation_id: str) -> Comparison:
        """Return what was gained and lost from one finished evaluation to another.

        Raises:
            NotFound: One of them does not exist.
            FailedPrecondition: One has not succeeded, or the two are not comparable.
        """
        before = await self._side(before_evaluation_id, other_id=after_evaluation_id)
        after = await self._side(after_evaluation_id, other_id=before_evaluation_id)
        return await asyncio.to_thread(compare, before, after)

    async def check_parity(self, before_evaluation_id: str, after_evaluation_id: str) -> Parity:
        """Return how far two forms of one model agree, and which step between them is to blame.

        Raises:
            NotFound: One of them does not exist.
            FailedPrecondition: One has not succeeded, or they did not answer the same prompts.
        """
        one = (await self._finished(before_evaluation_id)).record
        other = (await self._finished(after_evaluation_id)).record
        refuse_other_cases(one, other)
        before, after = await self._form(one), await self._form(other)
        answers = await self._runs.compare(one.subject.test_run_id, other.subject.test_run_id)
        pairs = await self._store.outcome_pairs(one.evaluation_id, other.evaluation_id)
        return await asyncio.to_thread(check_parity, before, after, answers, pairs)

    async def _side(self, evaluation_id: str, other_id: str) -> Side:
        evaluation = await self._finished(evaluation_id)
        first: dict[str, Failing] = {}
        for failure in await self._store.failing(evaluation_id):
            if failure.is_answered:
                first.setdefault(failure.case_id, failure)
        cases = await self._store.case_tallies(evaluation_id, answered_in=other_id)
        return Side(evaluation.record, evaluation.metrics, cases, first)

    async def _form(self, record: EvaluationRecord) -> Form:
        run = await self._runs.get_run(record.subject.test_run_id)
        return Form(record, run.provenance)

    async def _finished(self, evaluation_id: str) -> Evaluation:
        evaluation = await self._evaluations.resource.get(evaluation_id)
        state = evaluation.job.state
        if state is not JobState.SUCCEEDED:
            raise FailedPrecondition(
                f"The evaluation {evaluation_id} is {state.value}, so its figures are not complete.",
                "Compare evaluations that have succeeded.",
            )
        return evaluation

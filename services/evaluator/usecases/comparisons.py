"""What callers may do with comparisons."""

from __future__ import annotations

from services.chassis.errors import FailedPrecondition
from services.chassis.jobs import JobState
from services.evaluator.comparison import compare
from services.evaluator.domain.comparison import Comparison, Side
from services.evaluator.ports import EvaluationStore
from services.evaluator.usecases.evaluations import EvaluationUseCases


class ComparisonUseCases:
    """Compares evaluations."""

    def __init__(self, *, store: EvaluationStore, evaluations: EvaluationUseCases) -> None:
        self._store = store
        self._evaluations = evaluations

    async def compare(self, before_evaluation_id: str, after_evaluation_id: str) -> Comparison:
        """Return what was gained and lost from one finished evaluation to another.

        Raises:
            NotFound: One of them does not exist.
            FailedPrecondition: One has not succeeded, or the two are not comparable.
        """
        return compare(await self._side(before_evaluation_id), await self._side(after_evaluation_id))

    async def _side(self, evaluation_id: str) -> Side:
        evaluation = await self._evaluations.get(evaluation_id)
        state = evaluation.job.state
        if state is not JobState.SUCCEEDED:
            raise FailedPrecondition(
                f"The evaluation {evaluation_id} is {state.value}, so its figures are not complete.",
                "Compare evaluations that have succeeded.",
            )
        return Side(evaluation.record, evaluation.metrics, await self._store.outcomes(evaluation_id))

"""Scoring given answers."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from services.chassis.errors import Unavailable
from services.test_runner.domain.scoring import AnswerScore, ScoringOrder
from services.test_runner.ports.generation import AnswerScorer, BackendFaultError
from services.test_runner.ports.registry import Registry


class ScoringUseCases:
    """Scores by the version's own weights, in its worker or its server."""

    def __init__(self, *, registry: Registry, scorer: AnswerScorer) -> None:
        self._registry = registry
        self._scorer = scorer

    async def score(self, order: ScoringOrder) -> AsyncGenerator[AnswerScore]:
        """Yield the score of each row as it is finished.

        Raises:
            InvalidArgument: A row cannot be scored, or the model's chat template refuses it.
            NotFound: There is no such model version.
            Unavailable: The backend broke.
        """
        order.check()
        model = await self._registry.resolve_model(order.model_version_id)
        try:
            async with aclosing(self._scorer.score(model, order.rows, order.max_tokens)) as scores:
                async for score in scores:
                    yield score
        except BackendFaultError as fault:
            raise Unavailable(f"The backend broke: {fault}", "Try again.", fault="backend") from fault

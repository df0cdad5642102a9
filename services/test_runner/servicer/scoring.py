"""RPCs of scores."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.test_runner.v1 import score_pb2

from services.chassis.calls import Context
from services.test_runner.convert.scoring import score_to_proto, scoring_order_from_proto
from services.test_runner.usecases.scoring import ScoringUseCases


class ScoringRpcs:
    """Score answers."""

    scoring: ScoringUseCases

    async def ScoreAnswers(
        self, request: score_pb2.ScoreAnswersRequest, context: Context
    ) -> AsyncIterator[score_pb2.ScoreAnswersResponse]:
        """Stream how likely a version finds given answers."""
        async with aclosing(self.scoring.score(scoring_order_from_proto(request))) as scores:
            async for score in scores:
                yield score_to_proto(score)

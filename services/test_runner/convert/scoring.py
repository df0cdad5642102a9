"""Scores of answers, from and to the wire."""

from drillyard.test_runner.v1 import score_pb2

from services.chassis.wire import from_message
from services.test_runner.convert.generation import token_to_proto
from services.test_runner.domain.generation import parse_tools
from services.test_runner.domain.scoring import AnswerRow, AnswerScore, ScoringOrder


def scoring_order_from_proto(request: score_pb2.ScoreAnswersRequest) -> ScoringOrder:
    """Return what is to be scored.

    Raises:
        InvalidArgument: A tool is no function definition.
    """
    rows = tuple(from_message(AnswerRow, row, tools=parse_tools(row.tools)) for row in request.rows)
    return from_message(ScoringOrder, request, rows=rows)


def score_to_proto(score: AnswerScore) -> score_pb2.ScoreAnswersResponse:
    """Return the score of one row."""
    return score_pb2.ScoreAnswersResponse(
        row=score.row,
        token_ids=score.token_ids,
        num_prompt_tokens=score.num_prompt_tokens,
        tokens=map(token_to_proto, score.tokens),
        ends_turn=score.ends_turn,
    )

"""Scores of answers, from and to the wire."""

from __future__ import annotations

from drillyard.test_runner.v1 import score_pb2

from services.chassis.wire import from_message
from services.test_runner.convert.generation import token_to_proto
from services.test_runner.convert.transcript import message_from_proto
from services.test_runner.domain.generation import parse_tools
from services.test_runner.domain.scoring import AnswerRow, AnswerScore, ScoringOrder


def scoring_order_from_proto(request: score_pb2.ScoreAnswersRequest) -> ScoringOrder:
    """Return what is to be scored.

    Raises:
        InvalidArgument: A tool is no function definition.
    """
    return from_message(ScoringOrder, request, rows=tuple(map(_row_from_proto, request.rows)))


def score_to_proto(score: AnswerScore) -> score_pb2.ScoreAnswersResponse:
    """Return the score of one row."""
    return score_pb2.ScoreAnswersResponse(
        row=score.row,
        token_ids=score.token_ids,
        num_prompt_tokens=score.num_prompt_tokens,
        tokens=map(token_to_proto, score.tokens),
        ends_turn=score.ends_turn,
    )


def _row_from_proto(row: score_pb2.AnswerRow) -> AnswerRow:
    return AnswerRow(
        messages=tuple(map(message_from_proto, row.messages)),
        tools=parse_tools(row.tools),
        answer=message_from_proto(row.answer) if row.HasField("answer") else None,
        token_ids=tuple(row.token_ids),
        num_prompt_tokens=row.num_prompt_tokens,
    )

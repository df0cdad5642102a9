"""The event loop goes on while a thousand answers are judged."""

from __future__ import annotations

import json
from types import SimpleNamespace

from drillyard.evaluator.v1 import verdict_pb2

from services.evaluator.servicer import EvaluatorServicer
from services.evaluator.usecases.judgements import MAX_BATCH_SIZE, JudgementUseCases
from services.protocols.cases import case_to_document
from tests.unit.evaluator.bench import CASES, PROFILE
from tests.unit.loop_turns import longest_turn, stays_free


def test_a_full_batch_leaves_the_event_loop_free() -> None:
    case, methods = CASES[0], SimpleNamespace(judgements=JudgementUseCases())
    answer = {"profile_id": "roo_xml", "case_document": json.dumps(case_to_document(case))}
    request = verdict_pb2.JudgeRequest(answer=PROFILE.reference_answer(case), **answer)

    async def judge(num_answers: int) -> None:
        batch = verdict_pb2.JudgeBatchRequest(requests=[request] * num_answers)
        response = await EvaluatorServicer.JudgeBatch(methods, batch, None)  # type: ignore[arg-type]
        assert sum(result.verdict.conforming for result in response.results) == num_answers

    longest_turn(judge(1))
    assert stays_free(lambda: longest_turn(judge(MAX_BATCH_SIZE)))

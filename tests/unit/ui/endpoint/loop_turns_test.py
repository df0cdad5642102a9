"""The event loop goes on while a long body is read into its message and a long answer becomes JSON."""

from __future__ import annotations

from typing import Any

from drillyard.evaluator.v1 import verdict_pb2
from fastapi import APIRouter
from fastapi.routing import APIRoute

from tests.unit.loop_turns import LONGEST_TURN_SECONDS, longest_turn
from ui.shared.rpc import RpcRouter, body_of


class Evaluator:
    """Finds nothing wrong."""

    async def JudgeBatch(
        self, request: verdict_pb2.JudgeBatchRequest, **_options: object
    ) -> verdict_pb2.JudgeBatchResponse:
        verdict = verdict_pb2.Verdict(case_id="case", layers=[verdict_pb2.Layer()] * 12)
        results = [verdict_pb2.JudgedAnswer(verdict=verdict) for _ in request.requests]
        return verdict_pb2.JudgeBatchResponse(results=results)


class Clients:
    evaluator = Evaluator()


def endpoint_of(router: APIRouter) -> Any:
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    return route.endpoint


def test_a_thousand_answers_are_taken_and_their_verdicts_told() -> None:
    router = RpcRouter()
    router.rpc("POST /judgements", "evaluator.JudgeBatch", "Judges answers.")
    answer, kind = endpoint_of(router), body_of(verdict_pb2.JudgeBatchRequest.DESCRIPTOR)

    async def work(num_answers: int) -> None:
        one = {"profile_id": "roo_xml", "case_document": "{}", "answer": "text"}
        response = await answer(clients=Clients(), body=kind(requests=[one] * num_answers))
        assert response.body.count(b'"case"') == num_answers

    longest_turn(work(1))
    assert longest_turn(work(1000)) < LONGEST_TURN_SECONDS

"""The event loop goes on while a long body is read into its message and a long answer becomes JSON."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from drillyard.evaluator.v1 import verdict_pb2
from fastapi import APIRouter
from fastapi.routing import APIRoute

from tests.unit.loop_turns import longest_turn, stays_free
from ui.shared.rpc import RpcRouter, body_of


@dataclass
class Evaluator:
    """Answers what it was told to."""

    response: verdict_pb2.JudgeBatchResponse

    async def JudgeBatch(
        self, _request: verdict_pb2.JudgeBatchRequest, **_options: object
    ) -> verdict_pb2.JudgeBatchResponse:
        return self.response


def endpoint_of(router: APIRouter) -> Any:
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    return route.endpoint


def test_a_thousand_answers_are_taken_and_their_verdicts_told() -> None:
    router = RpcRouter()
    router.rpc("POST /judgements", "evaluator.JudgeBatch", "Judges answers.")
    answer, kind = endpoint_of(router), body_of(verdict_pb2.JudgeBatchRequest.DESCRIPTOR)

    def work(num_answers: int) -> Coroutine[Any, Any, object]:
        body = kind(requests=[{"profile_id": "roo_xml", "case_document": "{}", "answer": "text"}] * num_answers)
        result = verdict_pb2.JudgedAnswer(
            verdict=verdict_pb2.Verdict(case_id="case", layers=[verdict_pb2.Layer()] * 12)
        )
        response = verdict_pb2.JudgeBatchResponse(results=[result] * num_answers)
        return cast(
            Coroutine[Any, Any, object], answer(clients=SimpleNamespace(evaluator=Evaluator(response)), body=body)
        )

    longest_turn(work(1))
    assert stays_free(lambda: longest_turn(work(1000)))

"""The evaluator's comparisons and single judgements over gRPC."""

from __future__ import annotations

import json
from collections.abc import Sequence

import grpc.aio
from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2, evaluator_service_pb2_grpc, verdict_pb2
from drillyard.job.v1 import job_pb2

from services.chassis.waiting import patiently
from services.feedback.domain.work import CaseChange, Comparison
from services.protocols.cases import Case, case_to_document

_PEER = "the evaluator"


class GrpcVerdicts:
    """Implements `ports.neighbours.Verdicts`; every call is patient."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = evaluator_service_pb2_grpc.EvaluatorServiceStub(channel)

    async def finished_evaluation(self, test_run_id: str) -> str:
        """Return the newest evaluation of a run that has SUCCEEDED; empty for none."""
        request = evaluation_pb2.ListEvaluationsRequest(test_run_id=test_run_id)
        page = await patiently(lambda: self._stub.ListEvaluations(request), _PEER)
        return next(
            (item.evaluation_id for item in page.evaluations if item.job.state == job_pb2.JOB_STATE_SUCCEEDED), ""
        )

    async def card(self, evaluation_id: str) -> str:
        """Return what a model card says of an evaluation: suite, rates and their intervals."""
        request = evaluation_pb2.GetEvaluationRequest(evaluation_id=evaluation_id)
        evaluation = (await patiently(lambda: self._stub.GetEvaluation(request), _PEER)).evaluation
        rates = evaluation.metrics.overall
        lines = [
            f"| {word} | {rate:.1%} | {interval.low:.1%} to {interval.high:.1%} |"
            for word, rate, interval in (
                ("conforming", rates.conforming_rate, rates.conforming_interval),
                ("accepted", rates.accepted_rate, rates.accepted_interval),
                ("well formed", rates.well_formed_rate, rates.well_formed_interval),
            )
        ]
        suite, profile = evaluation.test_suite_version_id, evaluation.profile_id
        head = f"Tested by {rates.num_cases} answers to the suite `{suite}`, by the rules of `{profile}`:"
        table = ["| share of the answers | rate | 95 % interval |", "|---|---|---|", *lines]
        return "\n".join([head, "", *table])

    async def compare(self, before_evaluation_id: str, after_evaluation_id: str) -> Comparison:
        """Return what was gained and lost between two forms of one model."""
        ids = {"before_evaluation_id": before_evaluation_id, "after_evaluation_id": after_evaluation_id}
        changes = comparison_pb2.CompareEvaluationsRequest(**ids)
        comparison = (await patiently(lambda: self._stub.CompareEvaluations(changes), _PEER)).comparison
        forms = comparison_pb2.CheckParityRequest(**ids)
        parity = (await patiently(lambda: self._stub.CheckParity(forms), _PEER)).parity
        return Comparison(
            rate_before=comparison.before.conforming_rate,
            rate_after=comparison.after.conforming_rate,
            gains=tuple(CaseChange(change.case_id, change.sentence) for change in comparison.gains),
            losses=tuple(CaseChange(change.case_id, change.sentence) for change in comparison.losses),
            equal_answers_rate=parity.equal_answers_rate,
            sentence=parity.sentence,
        )

    async def conforms(self, profile_id: str, case: Case, answers: Sequence[str]) -> bool:
        """Return whether the answers to a case conform."""
        request = verdict_pb2.JudgeRequest(
            profile_id=profile_id,
            case_document=json.dumps(case_to_document(case)),
            answer=answers[0],
            further_answers=answers[1:],
        )
        verdict = (await patiently(lambda: self._stub.Judge(request), _PEER)).verdict
        return bool(verdict.conforming)

"""The evaluator over gRPC."""

from __future__ import annotations

import grpc.aio
from drillyard.evaluator.v1 import comparison_pb2, evaluator_service_pb2_grpc, export_pb2, metrics_pb2, verdict_pb2
from drillyard.evaluator.v1 import evaluation_pb2 as pb

from services.chassis.waiting import listed, patiently
from services.feedback.clients.jobs import JobClient
from services.feedback.domain.goals import RATES, Reading, Readings, Slice
from services.feedback.domain.guardrails import Change
from services.feedback.domain.work import ProbeVerdict
from services.protocols.verdict import Cause

_PEER = "the evaluator"
_PAGE_SIZE = 200


class GrpcEvaluator(JobClient):
    """Implements `ports.neighbours.Evaluator`; every call is patient."""

    _peer = _PEER
    _noun = "Evaluation"
    _messages = pb

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = evaluator_service_pb2_grpc.EvaluatorServiceStub(channel)

    async def start(self, request_id: str, test_run_id: str) -> str:
        """Start an evaluation once per request id and return its id."""
        request = pb.CreateEvaluationRequest(request_id=request_id, test_run_id=test_run_id)
        response = await patiently(lambda: self._stub.CreateEvaluation(request), _PEER)
        return str(response.evaluation.evaluation_id)

    async def readings(self, evaluation_id: str) -> Readings:
        """Return all that an evaluation which has ended measured, by metric and slice."""
        evaluation = await self._get(evaluation_id)
        return _readings(evaluation.metrics)

    async def change(self, before_evaluation_id: str, after_evaluation_id: str, metric: str) -> Change:
        """Return how much a rate rose between two evaluations of a suite, paired by case."""
        request = comparison_pb2.CompareEvaluationsRequest(
            before_evaluation_id=before_evaluation_id, after_evaluation_id=after_evaluation_id
        )
        comparison = (await patiently(lambda: self._stub.CompareEvaluations(request), _PEER)).comparison
        difference = getattr(comparison, metric.removesuffix("_rate"))
        return Change(difference.mean, difference.interval.low, difference.interval.high)

    async def verdicts(self, evaluation_id: str) -> tuple[ProbeVerdict, ...]:
        """Return the verdicts on all answers in the order of judging; what was not answered is unknown."""
        request = verdict_pb2.ListVerdictsRequest(evaluation_id=evaluation_id, page_size=_PAGE_SIZE)
        verdicts = [
            ProbeVerdict(verdict.case_id, verdict.tool, verdict.cause, verdict.category, verdict.fault)
            async for verdict in listed(self._stub.ListVerdicts, request, _PEER)
        ]
        return tuple(verdicts)

    async def pairs(self, evaluation_id: str) -> bytes:
        """Return lines, each a dataset's row: an answer that fails by the model's doing, beside the right one."""
        request = export_pb2.ExportEvaluationRequest(evaluation_id=evaluation_id, format=export_pb2.EXPORT_FORMAT_PAIRS)

        async def content() -> bytes:
            return b"".join([piece.chunk async for piece in self._stub.ExportEvaluation(request)])

        return await patiently(content, _PEER)


def _readings(metrics: metrics_pb2.Metrics) -> Readings:
    """Return what metrics say of each metric and slice; repeats of a case count as one, as if they were copies."""
    num_repeats = max(1, len(metrics.by_repeats))
    slices = {"": metrics.overall}
    slices |= {f"tool={item.tool}": item.rates for item in metrics.by_tool}
    slices |= {f"category={item.category}": item.rates for item in metrics.by_category}
    readings: dict[tuple[str, Slice], Reading] = {
        (name, key): Reading(getattr(rates, name), rates.num_cases // num_repeats)
        for key, rates in slices.items()
        for name in RATES
    }
    for layer in metrics.by_layer:
        readings["layer_rate", f"layer={layer.layer}"] = Reading(layer.rate, layer.num_applicable // num_repeats)
    num_answers = metrics.overall.num_cases
    counts = {item.cause: item.num_cases for item in metrics.by_cause}
    for cause in Cause:
        share = counts.get(cause, 0) / num_answers if num_answers else 0.0
        readings["cause_rate", f"cause={cause}"] = Reading(share, num_answers // num_repeats)
    for repeats in metrics.by_repeats[-1:]:
        readings["pass_hat_k", ""] = Reading(repeats.pass_hat_k, num_answers // num_repeats)
    readings["seconds_per_answer", ""] = Reading(metrics.usage.latency.p95, num_answers // num_repeats)
    return readings

"""An evaluator behind the real contract whose verdicts a test has written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from drillyard.evaluator.v1 import evaluation_pb2 as pb
from drillyard.evaluator.v1 import evaluator_service_pb2_grpc, verdict_pb2

from services.chassis.jobs import Job, Json
from services.chassis.jobs.convert import job_to_proto
from tests.fakes.neighbours.gates import Gates
from tests.fakes.neighbours.jobs import FakeJobs
from tests.fakes.neighbours.registry import FakeRegistry
from tests.fakes.neighbours.test_runner import FakeTestRunner


@dataclass
class Judgement:
    """What every evaluation finds.

    Attributes:
        rates: Conforming rate on the suite by model version; 0 when it is not named.
        causes: Cause by which the cases of a tool fail in the probe; "" makes them conform.
        other_cause: Cause of the tools that are not named.
    """

    rates: dict[str, float] = field(default_factory=dict)
    causes: Mapping[str, str] = field(default_factory=dict)
    other_cause: str = "no_call"


class FakeEvaluator(evaluator_service_pb2_grpc.EvaluatorServiceServicer):
    """The RPCs that a loop calls."""

    def __init__(self, gates: Gates, test_runner: FakeTestRunner, registry: FakeRegistry) -> None:
        self.jobs = FakeJobs("evaluation", gates, self._judge)
        self.judgement = Judgement()
        self._test_runner = test_runner
        self._registry = registry

    async def CreateEvaluation(self, request: pb.CreateEvaluationRequest, context: Any) -> pb.CreateEvaluationResponse:
        job = await self.jobs.create(request.request_id, {"test_run_id": request.test_run_id})
        return pb.CreateEvaluationResponse(evaluation=_evaluation(job))

    async def GetEvaluation(self, request: pb.GetEvaluationRequest, context: Any) -> pb.GetEvaluationResponse:
        return pb.GetEvaluationResponse(evaluation=_evaluation(await self.jobs.store.get(request.evaluation_id)))

    async def CancelEvaluation(self, request: pb.CancelEvaluationRequest, context: Any) -> pb.CancelEvaluationResponse:
        return pb.CancelEvaluationResponse(
            evaluation=_evaluation(await self.jobs.store.request_cancel(request.evaluation_id))
        )

    async def WatchEvaluation(
        self, request: pb.WatchEvaluationRequest, context: Any
    ) -> AsyncIterator[pb.WatchEvaluationResponse]:
        async for event in self.jobs.watch(request.evaluation_id, request.after_sequence):
            yield pb.WatchEvaluationResponse(event=event)

    async def ListVerdicts(
        self, request: verdict_pb2.ListVerdictsRequest, context: Any
    ) -> verdict_pb2.ListVerdictsResponse:
        job = await self.jobs.store.get(request.evaluation_id)
        run = await self._test_runner.spec_of(job.spec["test_run_id"])
        cases = self._registry.cases[run.test_suite_version_id]
        causes = [self.judgement.causes.get(case.tool, self.judgement.other_cause) for case in cases]
        verdicts = [
            verdict_pb2.Verdict(
                case_id=case.case_id, tool=case.tool, category=case.category, cause=cause, conforming=not cause
            )
            for case, cause in zip(cases, causes, strict=True)
        ]
        begin = int(request.page_token or 0)
        end = begin + min(request.page_size, 20)
        return verdict_pb2.ListVerdictsResponse(
            verdicts=verdicts[begin:end], next_page_token=str(end) if end < len(verdicts) else ""
        )

    async def _judge(self, job: Job) -> Json:
        run = await self._test_runner.spec_of(job.spec["test_run_id"])
        return {"rate": self.judgement.rates.get(run.model_version_id, 0.0)}


def _evaluation(job: Job) -> pb.Evaluation:
    rate = (job.result or {}).get("rate", 0.0)
    overall = pb.Rates(num_cases=130, conforming_rate=rate, accepted_rate=rate, well_formed_rate=rate)
    return pb.Evaluation(
        evaluation_id=job.job_id,
        test_run_id=job.spec["test_run_id"],
        job=job_to_proto(job),
        metrics=pb.Metrics(overall=overall),
    )

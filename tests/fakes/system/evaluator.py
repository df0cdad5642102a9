"""An evaluator over a world of rows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from drillyard.evaluator.v1 import (
    comparison_pb2,
    evaluation_pb2,
    evaluator_service_pb2_grpc,
    export_pb2,
    verdict_pb2,
)

from tests.fakes.system import rows
from tests.fakes.system.answering import cancelled, events, find, page
from tests.fakes.system.rows import RUNNING, World


class Evaluator(evaluator_service_pb2_grpc.EvaluatorServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def _evaluation(self, evaluation_id: str) -> Any:
        return find(self.world.evaluations, "evaluation_id", evaluation_id, "evaluation")

    async def CreateEvaluation(self, request: Any, context: Any) -> Any:
        run = find(self.world.runs, "test_run_id", request.test_run_id, "test run")
        evaluation_id = f"evaluation-{len(self.world.evaluations)}"
        one = evaluation_pb2.Evaluation(
            evaluation_id=evaluation_id,
            test_run_id=run.test_run_id,
            test_suite_version_id=run.spec.test_suite_version_id,
            model_grader=request.model_grader,
            model_version_id="served" if run.spec.HasField("endpoint") else run.spec.model_version_id,
        )
        state = rows.SUCCEEDED if self.world.ends_at_once else RUNNING
        one.job.CopyFrom(rows.job(evaluation_id, state, phase="judge", age=2))
        self.world.evaluations.insert(0, one)
        self.world.verdicts[evaluation_id] = []
        return evaluation_pb2.CreateEvaluationResponse(evaluation=one)

    async def GetEvaluation(self, request: Any, context: Any) -> Any:
        return evaluation_pb2.GetEvaluationResponse(evaluation=self._evaluation(request.evaluation_id))

    async def ListEvaluations(self, request: Any, context: Any) -> Any:
        wanted = [one for one in self.world.evaluations if request.test_run_id in ("", one.test_run_id)]
        listed, token = page(wanted, request)
        return evaluation_pb2.ListEvaluationsResponse(evaluations=listed, next_page_token=token)

    async def CancelEvaluation(self, request: Any, context: Any) -> Any:
        one = self._evaluation(request.evaluation_id)
        cancelled(one.job)
        return evaluation_pb2.CancelEvaluationResponse(evaluation=one)

    async def WatchEvaluation(self, request: Any, context: Any) -> AsyncIterator[Any]:
        job = self._evaluation(request.evaluation_id).job
        async for response in events(job, request.after_sequence, evaluation_pb2.WatchEvaluationResponse):
            yield response

    async def ListVerdicts(self, request: Any, context: Any) -> Any:
        self._evaluation(request.evaluation_id)
        wanted = [
            one
            for one in self.world.verdicts[request.evaluation_id]
            if request.tool in ("", one.tool)
            and request.cause in ("", one.cause or "none")
            and request.category in ("", one.category)
            and request.case_id in ("", one.case_id)
            and request.layer in ("", _failed_layer(one))
        ]
        listed, token = page(wanted, request)
        return verdict_pb2.ListVerdictsResponse(verdicts=listed, next_page_token=token, total_size=len(wanted))

    async def CompareEvaluations(self, request: Any, context: Any) -> Any:
        ids = (request.before_evaluation_id, request.after_evaluation_id)
        before, after = (self._evaluation(one) for one in ids)
        held = [{one.case_id for one in self.world.verdicts[one_id] if one.conforming} for one_id in ids]
        return comparison_pb2.CompareEvaluationsResponse(
            comparison=comparison_pb2.Comparison(
                before_evaluation_id=ids[0],
                after_evaluation_id=ids[1],
                before=before.metrics.overall,
                after=after.metrics.overall,
                gained_case_ids=sorted(held[1] - held[0]),
                lost_case_ids=sorted(held[0] - held[1]),
                sentence=f"{len(held[1] - held[0])} cases gained, {len(held[0] - held[1])} lost.",
            )
        )

    async def Judge(self, request: Any, context: Any) -> Any:
        return verdict_pb2.JudgeResponse(verdict=_verdict(request))

    async def JudgeBatch(self, request: Any, context: Any) -> Any:
        results = [
            verdict_pb2.JudgedAnswer(key=one.key, problem="The case is no JSON. Correct it.")
            if one.case_document == "broken"
            else verdict_pb2.JudgedAnswer(key=one.key, verdict=_verdict(one))
            for one in request.requests
        ]
        return verdict_pb2.JudgeBatchResponse(results=results)

    async def CheckParity(self, request: Any, context: Any) -> Any:
        before, after = (self._evaluation(one) for one in (request.before_evaluation_id, request.after_evaluation_id))
        differ = before.model_version_id != after.model_version_id
        differences = [comparison_pb2.ParityDifference(case_id="c1", token_index=4, before="<read", after="I will")]
        return comparison_pb2.CheckParityResponse(
            parity=comparison_pb2.Parity(
                before_evaluation_id=before.evaluation_id,
                after_evaluation_id=after.evaluation_id,
                num_compared=130,
                equal_answers_rate=0.25 if differ else 1.0,
                equal_verdicts_rate=0.5 if differ else 1.0,
                differences=differences if differ else [],
                guilty_step="template" if differ else "none",
                sentence="The server renders another prompt. Give it the model's own template." if differ else "Equal.",
            )
        )

    async def ExportEvaluation(self, request: Any, context: Any) -> AsyncIterator[Any]:
        one = self._evaluation(request.evaluation_id)
        form = export_pb2.ExportFormat.Name(request.format).removeprefix("EXPORT_FORMAT_").lower()
        name, kind = f"{one.evaluation_id}.{form}", "text/html" if form == "html" else "application/octet-stream"
        yield export_pb2.ExportEvaluationResponse(file_name=name, media_type=kind, chunk=b"first ")
        facts = "".join(f", {fact.group} {fact.name} {fact.value}" for fact in request.facts)
        yield export_pb2.ExportEvaluationResponse(chunk=f"second {request.before_evaluation_id}{facts}".encode())


def _verdict(request: Any) -> verdict_pb2.Verdict:
    if "<read_file>" in request.answer:
        return verdict_pb2.Verdict(conforming=True, accepted=True, well_formed=True, scores={"valid": 1.0})
    return verdict_pb2.Verdict(cause="no_call", sentence="There is no call.", scores={"valid": 0.0})


def _failed_layer(verdict: verdict_pb2.Verdict) -> str:
    return next((one.name for one in verdict.layers if one.status == verdict_pb2.LAYER_STATUS_FAILED), "")

"""What decisions look at, beside a world of fakes: its template doctor, several answers to a case, and pairs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from drillyard.evaluator.v1 import export_pb2, verdict_pb2
from drillyard.registry.v1 import deployment_pb2
from drillyard.test_runner.v1 import diagnosis_pb2
from drillyard.trainer.v1 import checkpoint_pb2

from services.chassis.errors import NotFound
from services.chassis.jobs import Json
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import get_profile
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow
from tests.fakes.neighbours.world import World

PROFILE = get_profile("roo_xml")


@dataclass
class Evidence:
    """Answers the RPCs of a world that tell what is wrong; set before it is served.

    Attributes:
        findings: What the template doctor finds.
        is_mixed: Whether every other one of several answers to a case conforms.
        fault: Of every answer.
        adherence: By its spec, which share of validation answers conform after a training.
    """

    world: World
    findings: list[diagnosis_pb2.Finding] = field(default_factory=list)
    is_mixed: bool = False
    fault: str = ""
    adherence: Callable[[Json], float] = lambda spec: 0.5
    aliases: dict[str, deployment_pb2.Alias] = field(default_factory=dict)

    def __post_init__(self) -> None:
        evaluator: Any = self.world.evaluator
        evaluator.ListVerdicts, evaluator.ExportEvaluation = self.list_verdicts, self.export_evaluation
        registry: Any = self.world.registry
        registry.GetAlias, registry.SetAlias = self.get_alias, self.set_alias
        trainer: Any = self.world.trainer
        self._list_curve_points, trainer.ListCurvePoints = trainer.ListCurvePoints, self.list_curve_points
        test_runner: Any = self.world.test_runner
        test_runner.DiagnoseModel = self.diagnose_model

    async def diagnose_model(self, _request: object, _context: object) -> diagnosis_pb2.DiagnoseModelResponse:
        return diagnosis_pb2.DiagnoseModelResponse(findings=self.findings)

    async def list_curve_points(
        self, request: checkpoint_pb2.ListCurvePointsRequest, context: object
    ) -> checkpoint_pb2.ListCurvePointsResponse:
        spec = (await self.world.trainer.jobs.store.get(request.training_job_id)).spec
        if request.metric == "adherence":
            point = checkpoint_pb2.CurvePoint(step=1, value=self.adherence(spec))
            return checkpoint_pb2.ListCurvePointsResponse(curve_points=[point])
        if request.metric == "drawn_tokens" and spec.get("method") == "TRAINING_METHOD_GRPO":
            request.metric = "tokens"
        response: checkpoint_pb2.ListCurvePointsResponse = await self._list_curve_points(request, context)
        return response

    async def get_alias(
        self, request: deployment_pb2.GetAliasRequest, _context: object
    ) -> deployment_pb2.GetAliasResponse:
        if request.alias_id not in self.aliases:
            raise NotFound("There is no such alias.", "Set it.")
        return deployment_pb2.GetAliasResponse(alias=self.aliases[request.alias_id])

    async def set_alias(
        self, request: deployment_pb2.SetAliasRequest, _context: object
    ) -> deployment_pb2.SetAliasResponse:
        alias = deployment_pb2.Alias(
            alias_id=request.alias_id,
            model_version_id=request.model_version_id,
            evaluation_ids=request.evaluation_ids,
            revision=request.expected_revision + 1,
        )
        self.aliases[request.alias_id] = alias
        await self.world.gates.enter("alias", "answer")
        return deployment_pb2.SetAliasResponse(alias=alias)

    async def list_verdicts(
        self, request: verdict_pb2.ListVerdictsRequest, _context: object
    ) -> verdict_pb2.ListVerdictsResponse:
        verdicts = [verdict for _, verdict in await self._verdicts(request.evaluation_id)]
        begin = int(request.page_token or 0)
        end = begin + min(request.page_size, 20)
        token = str(end) * (end < len(verdicts))
        return verdict_pb2.ListVerdictsResponse(verdicts=verdicts[begin:end], next_page_token=token)

    async def export_evaluation(
        self, request: export_pb2.ExportEvaluationRequest, _context: object
    ) -> AsyncIterator[export_pb2.ExportEvaluationResponse]:
        for case, verdict in await self._verdicts(request.evaluation_id):
            if verdict.cause and not case.solution:
                line = json.dumps(_pair(case, verdict).to_json(), default=dict) + "\n"
                yield export_pb2.ExportEvaluationResponse(chunk=line.encode())

    async def _verdicts(self, evaluation_id: str) -> list[tuple[Case, verdict_pb2.Verdict]]:
        world = self.world
        job = await world.evaluator.jobs.store.get(evaluation_id)
        run = await world.test_runner.spec_of(job.spec["test_run_id"])
        judgement = world.evaluator.judgement
        return [
            (case, self._verdict(case, repeat, judgement.causes.get(case.tool, judgement.other_cause)))
            for case in world.registry.cases[run.test_suite_version_id]
            for repeat in range(run.num_repeats)
        ]

    def _verdict(self, case: Case, repeat: int, cause: str) -> verdict_pb2.Verdict:
        cause = "" if self.is_mixed and repeat % 2 else cause
        return verdict_pb2.Verdict(
            case_id=case.case_id, repeat=repeat, tool=case.tool, category=case.category, cause=cause, fault=self.fault
        )


def _pair(case: Case, verdict: verdict_pb2.Verdict) -> DatasetRow:
    return DatasetRow(
        case.case_id,
        tuple(PROFILE.example(case, "compact")["messages"]),
        rejected={"role": "assistant", "content": f"wrong {verdict.repeat}"},
        case=case_to_document(case),
        tool=case.tool,
        category=category_of(case),
        cause=verdict.cause,
        profile_id=PROFILE.id,
    )

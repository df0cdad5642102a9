"""Promotion: what is begun once, what is shown, and what never gets the alias."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drillyard.evaluator.v1 import comparison_pb2, evaluation_pb2
from drillyard.job.v1 import job_pb2
from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1 import model_pb2, test_suite_pb2
from drillyard.registry.v1.deployment_test_pb2 import DeploymentTest
from drillyard.test_runner.v1 import test_run_pb2

from services.chassis.errors import Aborted, NotFound
from ui.openai.shadowing.answers import ShadowAnswers
from ui.shared.environment import render
from ui.shipping.deployments import promotion
from ui.shipping.deployments.promotion import Candidate
from ui.shipping.deployments.views import Promotion, deployment_view

ALIAS, CHAMPION, CANDIDATE = "tiny:champion", "tiny@1", "tiny@2"
ASKED = Candidate(ALIAS, CANDIDATE)


NO_SHADOWS = ShadowAnswers(Path("/nowhere"), 0)


async def promote(clients: Any, candidate: Candidate, shadows: ShadowAnswers = NO_SHADOWS) -> Promotion:
    return await promotion.promote(clients, candidate, shadows)


@dataclass
class Services:
    """As much of the services as a promotion asks, in memory."""

    state: int = pb.DEPLOYMENT_STATE_READY
    job: int = job_pb2.JOB_STATE_SUCCEEDED
    rates: dict[str, float] = field(default_factory=lambda: {CHAMPION: 0.5, CANDIDATE: 0.6})
    alias: pb.Alias | None = None
    runs: dict[str, test_run_pb2.TestRun] = field(default_factory=dict)
    deployments: dict[str, pb.Deployment] = field(default_factory=dict)
    p_value: float = 1.0

    async def GetModelVersion(self, request: Any) -> Any:
        return model_pb2.GetModelVersionResponse(
            model_version=model_pb2.ModelVersion(model_version_id=request.model_version_id)
        )

    async def GetTestSuiteVersion(self, request: Any) -> Any:
        suite = test_suite_pb2.TestSuiteVersion(test_suite_version_id="roo_xml/smoke@1")
        return test_suite_pb2.GetTestSuiteVersionResponse(test_suite_version=suite)

    async def GetAlias(self, request: Any) -> Any:
        if self.alias is None:
            raise NotFound("There is no alias.")
        return pb.GetAliasResponse(alias=self.alias)

    async def SetAlias(self, request: pb.SetAliasRequest) -> Any:
        revision = self.alias.revision if self.alias else 0
        if request.expected_revision != revision:
            raise Aborted("It was moved.")
        self.alias = pb.Alias(
            alias_id=request.alias_id,
            model_version_id=request.model_version_id,
            deployment_id=request.deployment_id,
            evaluation_ids=request.evaluation_ids,
            shadow_model_version_id=request.shadow_model_version_id,
            revision=revision + 1,
        )
        return pb.SetAliasResponse(alias=self.alias)

    async def ListDeployments(self, request: Any) -> Any:
        return pb.ListDeploymentsResponse(deployments=self.deployments.values())

    async def CreateDeployment(self, request: Any) -> Any:
        known = self.deployments.setdefault(request.request_id, pb.Deployment(spec=request.spec))
        known.deployment_id, known.state = f"d-{len(self.deployments)}", self.state
        known.reason = "Back-off pulling image" if self.state == pb.DEPLOYMENT_STATE_FAILED else ""
        known.base_url, known.served_model = "http://127.0.0.1:1/v1", request.spec.model_version_id
        return pb.CreateDeploymentResponse(deployment=known)

    async def CreateTestRun(self, request: Any) -> Any:
        run = test_run_pb2.TestRun(test_run_id=request.spec.model_version_id, spec=request.spec)
        run.job.state = self.job
        return test_run_pb2.CreateTestRunResponse(test_run=self.runs.setdefault(request.request_id, run))

    async def CreateEvaluation(self, request: Any) -> Any:
        return evaluation_pb2.CreateEvaluationResponse(evaluation=self._evaluation(request.test_run_id))

    async def GetEvaluation(self, request: Any) -> Any:
        return evaluation_pb2.GetEvaluationResponse(evaluation=self._evaluation(request.evaluation_id))

    async def ListEvaluations(self, request: Any) -> Any:
        return evaluation_pb2.ListEvaluationsResponse(evaluations=map(self._evaluation, self.rates))

    async def CompareEvaluations(self, request: Any, **_: Any) -> Any:
        comparison = comparison_pb2.Comparison(sentence="Fewer conform.")
        comparison.conforming.p_value = self.p_value
        comparison.conforming.mean = self.rates[CANDIDATE] - self.rates[CHAMPION]
        return comparison_pb2.CompareEvaluationsResponse(comparison=comparison)

    def _evaluation(self, version_id: str) -> evaluation_pb2.Evaluation:
        evaluation = evaluation_pb2.Evaluation(
            evaluation_id=version_id, model_version_id=version_id, test_suite_version_id="roo_xml/smoke@1"
        )
        evaluation.job.state = self.job
        evaluation.metrics.overall.conforming_rate = self.rates[version_id]
        return evaluation

    @property
    def clients(self) -> Any:
        return SimpleNamespace(registry=self, test_runner=self, evaluator=self)


def with_champion(**values: Any) -> Services:
    champion = pb.Alias(alias_id=ALIAS, model_version_id=CHAMPION, revision=3, evaluation_ids=[CHAMPION])
    return Services(alias=champion, **values)


async def test_a_candidate_that_proves_itself_gets_the_alias_with_its_evidence() -> None:
    services = with_champion()
    promoted = await promote(services.clients, ASKED)
    assert promoted.step == "promoted"
    assert promoted.candidate and promoted.champion
    assert (promoted.candidate.rate, promoted.champion.rate) == (0.6, 0.5)
    assert services.alias
    assert (services.alias.model_version_id, services.alias.revision) == (CANDIDATE, 4)
    assert list(services.alias.evaluation_ids) == [CANDIDATE, CHAMPION], "what a rollback is weighed by"
    assert services.alias.deployment_id == promoted.deployment_id
    (run,) = services.runs.values()
    assert run.spec.endpoint.base_url == "http://127.0.0.1:1/v1"
    again = await promote(services.clients, ASKED)
    assert (again.step, len(services.runs)) == ("promoted", 1)


async def test_what_was_interrupted_goes_on_with_what_was_begun() -> None:
    services = with_champion(state=pb.DEPLOYMENT_STATE_STARTING, job=job_pb2.JOB_STATE_RUNNING)
    assert [(await promote(services.clients, ASKED)).step for _ in range(2)] == ["deploy", "deploy"]
    services.state = pb.DEPLOYMENT_STATE_READY
    assert [(await promote(services.clients, ASKED)).step for _ in range(2)] == ["test", "test"]
    assert (len(services.deployments), len(services.runs)) == (1, 1)
    assert services.alias and services.alias.model_version_id == CHAMPION


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"state": pb.DEPLOYMENT_STATE_FAILED}, "Back-off pulling image"),
        ({"job": job_pb2.JOB_STATE_FAILED}, "The candidate: the test ended as failed"),
        ({"rates": {CHAMPION: 0.5, CANDIDATE: 0.45}, "p_value": 0.01}, "It is worse than tiny@1, which stays"),
        ({"rates": {CHAMPION: 0.5, CANDIDATE: 0.3}}, "It is worse than tiny@1, which stays"),
        ({"rates": {CHAMPION: 0.0, CANDIDATE: 0.0}}, "None of its answers"),
    ],
)
async def test_a_candidate_that_fails_never_gets_the_alias(change: dict[str, Any], reason: str) -> None:
    services = with_champion(**change)
    promoted = await promote(services.clients, ASKED)
    assert promoted.step == "refused" and reason in promoted.sentence
    assert services.alias and (services.alias.model_version_id, services.alias.revision) == (CHAMPION, 3)


async def test_a_first_candidate_needs_what_is_asked_for_alone() -> None:
    services = Services()
    assert (await promote(services.clients, replace(ASKED, minimum_rate=0.7))).step == "refused"
    assert services.alias is None
    assert (await promote(services.clients, ASKED)).step == "promoted"


async def test_a_champion_without_evidence_is_tested_too() -> None:
    services = with_champion()
    assert services.alias is not None
    del services.alias.evaluation_ids[:]
    promoted = await promote(services.clients, ASKED)
    assert promoted.champion and promoted.champion.rate == 0.5
    assert {run.spec.model_version_id for run in services.runs.values()} == {CHAMPION, CANDIDATE}


@pytest.mark.parametrize("shadow", [CANDIDATE, "tiny@9"])
async def test_what_a_candidate_answered_as_a_shadow_is_shown_and_it_shadows_itself_no_more(
    shadow: str, tmp_path: Path
) -> None:
    services, shadows = with_champion(), ShadowAnswers(tmp_path, 7)
    assert services.alias is not None
    services.alias.shadow_model_version_id = shadow
    for own, other in ((True, True), (True, False), (True, False), (False, True)):
        verdicts = {"verdict": {"conforming": other}, "shadow_verdict": {"conforming": own}}
        await shadows.keep(ALIAS, {"shadow_model_version_id": CANDIDATE, **verdicts})
    await shadows.keep(ALIAS, {"shadow_model_version_id": CANDIDATE})
    await shadows.keep(ALIAS, {"shadow_model_version_id": "tiny@9", **verdicts})
    promoted = await promote(services.clients, ASKED, shadows)
    assert "4 answers" in promoted.shadow and "3 conform, and 2 of those" in promoted.shadow
    assert "2 only in the shadow, 1 only there" in promoted.shadow
    assert services.alias.shadow_model_version_id == ("" if shadow == CANDIDATE else shadow)


def test_the_page_shows_what_came_of_a_deployments_suite() -> None:
    test = DeploymentTest(test_run_id="run-1", summary="0.0% of its answers <conform>.")
    served = pb.Deployment(deployment_id="one", state=pb.DEPLOYMENT_STATE_FAILED, reason=test.summary, test=test)
    html = render("deployments/deployments", deployments=[deployment_view(served)])
    assert html.count("0.0% of its answers &lt;conform&gt;.") == 1 and 'href="./test-runs?run=run-1"' in html

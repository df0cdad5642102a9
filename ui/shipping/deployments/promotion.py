"""Promotion: a candidate is deployed, tested and set against the champion, and only then gets the alias.

It is no job. Each call goes as far as it can without waiting. Every part has a request id made of what is promoted, so
a call that is repeated, by whomever and after any interruption, finds what the calls before it have begun.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation
from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1.model_pb2 import GetModelVersionRequest
from drillyard.registry.v1.test_suite_pb2 import GetTestSuiteVersionRequest
from drillyard.test_runner.v1.test_run_pb2 import CreateTestRunRequest, TestRun, TestRunSpec

from services.chassis.errors import Aborted, FailedPrecondition
from ui.comparisons.actions import compare_evaluations
from ui.gateway.clients import Clients
from ui.openai.served import endpoint_of
from ui.openai.shadowing.answers import ShadowAnswers
from ui.shared.jobs import job_view
from ui.shared.words import percent_text
from ui.shipping.deployments.actions import find_alias, find_evaluation, list_deployments, read_alias
from ui.shipping.deployments.views import EvidenceView, Promotion, evidence_view, shadow_sentence
from ui.test_runs.actions import start_test_run

SUITE = "roo_xml/smoke"
_MOST_PAIRS = 1000


@dataclass(frozen=True)
class Candidate:
    """What is to be promoted.

    Attributes:
        test_suite_id: The suite that decides.
        minimum_rate: Conforming rate below which the candidate is refused, 0 to 1.
        margin: How much lower than the champion's its rate may be, where that may be chance.
        attempt: Any text; another one begins anew where an earlier attempt failed.
    """

    alias_id: str
    model_version_id: str
    test_suite_id: str = SUITE
    minimum_rate: float = 0.0
    margin: float = 0.1
    backend: pb.DeploymentBackend.ValueType = pb.DEPLOYMENT_BACKEND_UNSPECIFIED
    attempt: str = ""


async def promote(clients: Clients, candidate: Candidate, shadows: ShadowAnswers) -> Promotion:
    """Go on with a promotion as far as that goes without waiting, and say how it stands; `shadows` are evidence too.

    Raises:
        NotFound: There is no such version or suite.
        Aborted: The alias was moved elsewhere meanwhile.
        FailedPrecondition: Nothing can serve the version.
    """
    version = await clients.registry.GetModelVersion(
        GetModelVersionRequest(model_version_id=candidate.model_version_id)
    )
    suite = await clients.registry.GetTestSuiteVersion(
        GetTestSuiteVersionRequest(test_suite_version_id=candidate.test_suite_id)
    )
    candidate = replace(
        candidate,
        model_version_id=version.model_version.model_version_id,
        test_suite_id=suite.test_suite_version.test_suite_version_id,
    )
    promotion = await _Flow(clients, candidate, await find_alias(clients, candidate.alias_id)).go_on()
    pairs = await shadows.newest(candidate.alias_id, _MOST_PAIRS) if promotion.is_final else []
    return replace(promotion, shadow=shadow_sentence(pairs, candidate.model_version_id))


class _Flow:
    def __init__(self, clients: Clients, candidate: Candidate, alias: pb.Alias) -> None:
        self._clients, self._candidate, self._alias = clients, candidate, alias
        words = (candidate.alias_id, alias.revision, candidate.model_version_id, candidate.test_suite_id)
        name = "\n".join(map(str, (*words, candidate.attempt)))
        self._key = f"promote-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        self._state = Promotion(
            alias_id=candidate.alias_id,
            model_version_id=candidate.model_version_id,
            test_suite_version_id=candidate.test_suite_id,
            step="deploy",
            sentence="",
        )

    async def go_on(self) -> Promotion:
        if self._alias.model_version_id == self._candidate.model_version_id:
            return await self._promoted("It is what the alias points at.")
        deployment = await self._deployment(self._candidate.model_version_id, self._key)
        self._state = replace(self._state, deployment_id=deployment.deployment_id)
        if deployment.state == pb.DEPLOYMENT_STATE_FAILED:
            return self._end("refused", f"Its deployment failed: {deployment.reason}")
        if deployment.state != pb.DEPLOYMENT_STATE_READY:
            return self._end("deploy", deployment.reason or "Its deployment starts.")
        run, evaluation = await self._tested(self._candidate.model_version_id, deployment, self._key)
        self._state = replace(self._state, test_run_id=run.test_run_id)
        if problem := self._not_judged(run, evaluation, "The candidate"):
            return problem
        evidence = evidence_view(evaluation)
        self._state = replace(self._state, candidate=evidence)
        if reason := self._too_bad(evidence, is_incomplete=evaluation.is_incomplete):
            return self._end("refused", f"{reason} The alias stays as it is.")
        return await self._compared(evaluation, deployment)

    def _too_bad(self, evidence: EvidenceView, *, is_incomplete: bool) -> str:
        least, rate = self._candidate.minimum_rate, percent_text(evidence.rate)
        suite = self._candidate.test_suite_id
        if is_incomplete:
            return f"{rate} of its answers conform, but there are too few of them: see what its test names."
        if not evidence.rate:
            return f"None of its answers to {suite} conforms: train it, or name a suite that it was trained for."
        if evidence.rate < least:
            return f"{rate} of its answers to {suite} conform, and {percent_text(least)} were asked for."
        return ""

    async def _compared(self, evaluation: Evaluation, deployment: pb.Deployment) -> Promotion:
        if self._alias.model_version_id:
            champion, problem = await self._champion(evaluation)
            if problem:
                return problem
            assert champion is not None
            change = await compare_evaluations(self._clients, champion.evaluation_id, evaluation.evaluation_id)
            self._state = replace(
                self._state,
                champion=evidence_view(champion),
                comparison=change.sentence,
            )
            conforming = change.differences[0]
            loss = conforming.before - conforming.after
            if loss > self._candidate.margin or (conforming.is_sure and loss > 0):
                reason = f"It is worse than {self._alias.model_version_id}, which stays: {change.sentence}"
                return self._end("refused", reason)
        return await self._point(evaluation, deployment)

    async def _point(self, evaluation: Evaluation, deployment: pb.Deployment) -> Promotion:
        champion = self._state.champion
        was_shadow = self._alias.shadow_model_version_id == self._candidate.model_version_id
        request = pb.SetAliasRequest(
            alias_id=self._candidate.alias_id,
            model_version_id=self._candidate.model_version_id,
            deployment_id=deployment.deployment_id,
            evaluation_ids=[evaluation.evaluation_id, *([champion.evaluation_id] if champion else ())],
            expected_revision=self._alias.revision,
            shadow_model_version_id="" if was_shadow else self._alias.shadow_model_version_id,
        )
        try:
            await self._clients.registry.SetAlias(request)
        except Aborted:
            alias = await find_alias(self._clients, self._candidate.alias_id)
            if alias.model_version_id != self._candidate.model_version_id:
                raise
        before = f", in place of {self._alias.model_version_id}" if self._alias.model_version_id else ""
        return self._end("promoted", f"{self._candidate.alias_id} is {self._candidate.model_version_id}{before}.")

    async def _champion(self, evaluation: Evaluation) -> tuple[Evaluation | None, Promotion | None]:
        """Return an evaluation of the champion that can be set against the candidate's, or why there is none yet."""
        for evaluation_id in self._alias.evaluation_ids:
            known = await find_evaluation(self._clients, evaluation_id)
            is_champion = known is not None and known.model_version_id == self._alias.model_version_id
            if known is not None and is_champion and await self._is_comparable(known, evaluation):
                return known, None
        deployment = await self._deployment(self._alias.model_version_id, f"{self._key}-champion")
        run, judged = await self._tested(self._alias.model_version_id, deployment, f"{self._key}-champion")
        return judged, self._not_judged(run, judged, self._alias.model_version_id)

    async def _is_comparable(self, before: Evaluation, after: Evaluation) -> bool:
        if before.test_suite_version_id != after.test_suite_version_id:
            return False
        try:
            await compare_evaluations(self._clients, before.evaluation_id, after.evaluation_id)
        except FailedPrecondition:
            return False
        return True

    async def _deployment(self, model_version_id: str, key: str) -> pb.Deployment:
        for deployment in await list_deployments(self._clients):
            is_ready = deployment.state == pb.DEPLOYMENT_STATE_READY
            fits = self._candidate.backend in (pb.DEPLOYMENT_BACKEND_UNSPECIFIED, deployment.spec.backend)
            if is_ready and fits and deployment.spec.model_version_id == model_version_id:
                return deployment
        # The promotion tests it itself, and sets it against the champion.
        spec = pb.DeploymentSpec(model_version_id=model_version_id, backend=self._candidate.backend, without_test=True)
        request = pb.CreateDeploymentRequest(request_id=key, spec=spec)
        return (await self._clients.registry.CreateDeployment(request)).deployment

    async def _tested(self, model_version_id: str, deployment: pb.Deployment, key: str) -> tuple[TestRun, Evaluation]:
        spec = TestRunSpec(
            model_version_id=model_version_id,
            test_suite_version_id=self._candidate.test_suite_id,
            endpoint=endpoint_of(deployment),
        )
        request_id = f"{key}-{deployment.deployment_id}"
        started = await start_test_run(self._clients, CreateTestRunRequest(request_id=request_id, spec=spec))
        assert started.evaluation is not None
        return started.test_run, started.evaluation

    def _not_judged(self, run: TestRun, evaluation: Evaluation, who: str) -> Promotion | None:
        for step, job in (("test", job_view(run.job)), ("judge", job_view(evaluation.job))):
            if job.is_final and job.state != "succeeded":
                problem = f"{who}: the {step} ended as {job.state}: {job.problem or 'begin anew with another attempt'}"
                return self._end("refused", problem)
            if not job.is_final:
                return self._end(step, f"{who}: {job.sentence}")
        return None

    async def _promoted(self, sentence: str) -> Promotion:
        alias = await read_alias(self._clients, self._alias.alias_id)
        state = replace(self._state, deployment_id=alias.deployment_id, candidate=next(iter(alias.evidence), None))
        return replace(state, step="promoted", sentence=sentence)

    def _end(self, step: str, sentence: str) -> Promotion:
        return replace(self._state, step=step, sentence=sentence)

"""The test runner over gRPC."""

from __future__ import annotations

import grpc.aio
from drillyard.test_runner.v1 import diagnosis_pb2, test_runner_service_pb2_grpc
from drillyard.test_runner.v1 import test_run_pb2 as pb
from google.protobuf.json_format import ParseDict

from services.chassis.waiting import patiently
from services.feedback.clients.jobs import JobClient
from services.feedback.domain.work import TemplateFault, TestOrder

_PEER = "the test runner"
# It loads a tokenizer, and two at once may be before it.
_DIAGNOSE_SECONDS = 180.0


class GrpcTestRunner(JobClient):
    """Implements `ports.neighbours.TestRunner`; what jobs alone call is patient."""

    _peer = _PEER
    _noun = "TestRun"
    _messages = pb

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = test_runner_service_pb2_grpc.TestRunnerServiceStub(channel)

    async def start(self, request_id: str, order: TestOrder) -> str:
        """Start a test run once per request id and return its id."""
        spec = pb.TestRunSpec(
            model_version_id=order.model_version_id,
            test_suite_version_id=order.test_suite_version_id,
            prompt_size=order.prompt_size,
            sampling=pb.Sampling(max_new_tokens=order.max_new_tokens, temperature=order.temperature),
            num_repeats=order.num_repeats,
            seed=order.seed,
            endpoint=ParseDict(dict(order.endpoint), pb.Endpoint()) if order.endpoint else None,
        )
        return await self._create(request_id, spec)

    async def is_incomplete(self, test_run_id: str) -> bool:
        """Return whether a run that has ended left so many cases unanswered that its rates decide nothing."""
        return bool((await self._get(test_run_id)).is_incomplete)

    async def num_generated_tokens(self, test_run_id: str) -> int:
        """Return how many tokens the answers of a run have."""
        return int((await self._get(test_run_id)).num_generated_tokens)

    async def finish(self, request_id: str, test_run_id: str) -> str:
        """Have the cases asked that a run did not answer, in a run that takes over all others; return its id."""
        return await self._create(request_id, pb.TestRunSpec(repeat_of_test_run_id=test_run_id, keep_answers=True))

    async def template_faults(
        self, model_version_id: str, profile_id: str, *, prompt_size: str, max_new_tokens: int
    ) -> tuple[TemplateFault, ...]:
        """Return what keeps a version's template or settings from carrying a protocol; the gravest first."""
        request = diagnosis_pb2.DiagnoseModelRequest(
            model_version_id=model_version_id,
            profile_id=profile_id,
            prompt_size=prompt_size,
            max_new_tokens=max_new_tokens,
        )
        diagnosis = await self._stub.DiagnoseModel(request, timeout=_DIAGNOSE_SECONDS)
        return tuple(
            TemplateFault(finding.code, finding.problem, finding.fix)
            for finding in diagnosis.findings
            if finding.severity == diagnosis_pb2.SEVERITY_ERROR
        )

    async def _create(self, request_id: str, spec: pb.TestRunSpec) -> str:
        request = pb.CreateTestRunRequest(request_id=request_id, spec=spec)
        response = await patiently(lambda: self._stub.CreateTestRun(request), _PEER)
        return str(response.test_run.test_run_id)

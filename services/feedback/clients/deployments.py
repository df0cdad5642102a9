"""The registry's deployments over gRPC."""

from __future__ import annotations

from typing import Any

import grpc.aio
from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1 import deployment_test_pb2 as test_pb
from drillyard.registry.v1 import registry_service_pb2_grpc

from services.chassis.machine.secrets import deployment_secret
from services.chassis.waiting import listed, patiently
from services.feedback.domain.work import DeploymentTest, DeploymentToTest

_PEER = "the registry"
_PAGE_SIZE = 1000
_OUTCOMES = {
    None: test_pb.DEPLOYMENT_TEST_OUTCOME_UNSPECIFIED,
    True: test_pb.DEPLOYMENT_TEST_OUTCOME_PASSED,
    False: test_pb.DEPLOYMENT_TEST_OUTCOME_FAILED,
}


class GrpcDeployments:
    """Implements `ports.neighbours.Deployments`; every call is patient."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def to_test(self) -> list[DeploymentToTest]:
        """Return the deployments whose suite has no outcome yet."""
        request = pb.ListDeploymentsRequest(page_size=_PAGE_SIZE)
        deployments = listed(self._stub.ListDeployments, request, _PEER)
        return [_to_test(deployment) async for deployment in deployments if _waits(deployment)]

    async def report(self, deployment_id: str, test: DeploymentTest) -> None:
        """Tell how one does on its suite."""
        request = test_pb.ReportDeploymentTestRequest(
            deployment_id=deployment_id,
            test=test_pb.DeploymentTest(
                outcome=_OUTCOMES[test.has_passed],
                test_run_id=test.test_run_id,
                evaluation_id=test.evaluation_id,
                summary=test.summary,
            ),
        )
        await patiently(lambda: self._stub.ReportDeploymentTest(request), _PEER)


def _waits(deployment: pb.Deployment) -> bool:
    is_open = deployment.test.outcome == test_pb.DEPLOYMENT_TEST_OUTCOME_UNSPECIFIED
    return bool(deployment.spec.test_suite_version_id) and is_open and deployment.state != pb.DEPLOYMENT_STATE_STOPPING


def _to_test(deployment: pb.Deployment) -> DeploymentToTest:
    return DeploymentToTest(
        deployment_id=deployment.deployment_id,
        model_version_id=deployment.spec.model_version_id,
        test_suite_version_id=deployment.spec.test_suite_version_id,
        minimum_rate=deployment.spec.minimum_rate,
        workspace_id=deployment.workspace_id,
        answers=deployment.state == pb.DEPLOYMENT_STATE_TESTING,
        endpoint=_endpoint(deployment),
    )


def _endpoint(deployment: pb.Deployment) -> dict[str, Any] | None:
    if not deployment.base_url:
        return None
    endpoint = {"base_url": deployment.base_url, "model": deployment.served_model}
    has_key = deployment.spec.backend == pb.DEPLOYMENT_BACKEND_LLAMA_SERVER
    return endpoint | ({"api_key_secret": deployment_secret(deployment.deployment_id)} if has_key else {})

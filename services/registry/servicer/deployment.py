"""RPCs of deployments and aliases."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1 import deployment_test_pb2

from services.chassis.calls import Context
from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.deployment import (
    Alias,
    AliasMove,
    Deployment,
    DeploymentSpec,
    DeploymentStatus,
    DeploymentTest,
)
from services.registry.usecases.deployment import AliasUseCases, DeploymentUseCases

_deployments = ResourceRpcs[Deployment](attrgetter("deployments"), partial(to_message, message_type=pb.Deployment))
_aliases = ResourceRpcs[Alias](attrgetter("aliases"), partial(to_message, message_type=pb.Alias))


class DeploymentRpcs:
    """Create, get, list, report and delete deployments; set, get, list, roll back and delete aliases."""

    deployments: DeploymentUseCases
    aliases: AliasUseCases
    CreateDeployment = _deployments.create(
        pb.CreateDeploymentResponse, partial(from_message, DeploymentSpec), attrgetter("deployments.create")
    )
    GetDeployment = _deployments.get(pb.GetDeploymentResponse)
    ListDeployments = _deployments.list(pb.ListDeploymentsResponse)
    DeleteDeployment = _deployments.delete(pb.DeleteDeploymentResponse)
    GetAlias = _aliases.get(pb.GetAliasResponse)
    ListAliases = _aliases.list(pb.ListAliasesResponse)
    DeleteAlias = _aliases.delete(pb.DeleteAliasResponse)

    async def ReportDeployment(
        self, request: pb.ReportDeploymentRequest, context: Context
    ) -> pb.ReportDeploymentResponse:
        """Store how a deployment by workers stands."""
        await self.deployments.report(request.deployment_id, from_message(DeploymentStatus, request, base_url=""))
        return pb.ReportDeploymentResponse()

    async def ReportDeploymentTest(
        self, request: deployment_test_pb2.ReportDeploymentTestRequest, context: Context
    ) -> deployment_test_pb2.ReportDeploymentTestResponse:
        """Store how a deployment does on its suite."""
        await self.deployments.report_test(request.deployment_id, from_message(DeploymentTest, request.test))
        return deployment_test_pb2.ReportDeploymentTestResponse()

    async def SetAlias(self, request: pb.SetAliasRequest, context: Context) -> pb.SetAliasResponse:
        """Point a name at a version."""
        alias = await self.aliases.set(from_message(AliasMove, request), request.expected_revision)
        return pb.SetAliasResponse(alias=to_message(alias, pb.Alias))

    async def RollbackAlias(self, request: pb.RollbackAliasRequest, context: Context) -> pb.RollbackAliasResponse:
        """Point a name at its version before."""
        alias = await self.aliases.rollback(request.alias_id, request.expected_revision)
        return pb.RollbackAliasResponse(alias=to_message(alias, pb.Alias))

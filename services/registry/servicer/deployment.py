"""RPCs of deployments and aliases."""

from __future__ import annotations

from drillyard.registry.v1 import deployment_pb2 as pb
from drillyard.registry.v1 import deployment_test_pb2

from services.chassis.calls import Context
from services.chassis.wire import from_message, to_message
from services.registry.domain.deployment import AliasMove, DeploymentSpec, DeploymentStatus, DeploymentTest
from services.registry.domain.paging import page_request
from services.registry.usecases.deployment import AliasUseCases, DeploymentUseCases


class DeploymentRpcs:
    """Create, get, list, report and delete deployments; set, get, list, roll back and delete aliases."""

    deployments: DeploymentUseCases
    aliases: AliasUseCases

    async def CreateDeployment(
        self, request: pb.CreateDeploymentRequest, context: Context
    ) -> pb.CreateDeploymentResponse:
        """Serve a version."""
        spec = from_message(DeploymentSpec, request.spec)
        deployment = await self.deployments.create(request.request_id, spec)
        return pb.CreateDeploymentResponse(deployment=to_message(deployment, pb.Deployment))

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Context) -> pb.GetDeploymentResponse:
        """Return one deployment."""
        deployment = await self.deployments.get(request.deployment_id)
        return pb.GetDeploymentResponse(deployment=to_message(deployment, pb.Deployment))

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        """List deployments, newest first."""
        page = await self.deployments.list(page_request(request.page_size, request.page_token))
        entries = [to_message(deployment, pb.Deployment) for deployment in page.items]
        return pb.ListDeploymentsResponse(deployments=entries, next_page_token=page.next_token)

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

    async def DeleteDeployment(
        self, request: pb.DeleteDeploymentRequest, context: Context
    ) -> pb.DeleteDeploymentResponse:
        """Take a deployment down."""
        await self.deployments.delete(request.deployment_id)
        return pb.DeleteDeploymentResponse()

    async def SetAlias(self, request: pb.SetAliasRequest, context: Context) -> pb.SetAliasResponse:
        """Point a name at a version."""
        alias = await self.aliases.set(from_message(AliasMove, request), request.expected_revision)
        return pb.SetAliasResponse(alias=to_message(alias, pb.Alias))

    async def GetAlias(self, request: pb.GetAliasRequest, context: Context) -> pb.GetAliasResponse:
        """Return one alias."""
        return pb.GetAliasResponse(alias=to_message(await self.aliases.get(request.alias_id), pb.Alias))

    async def ListAliases(self, request: pb.ListAliasesRequest, context: Context) -> pb.ListAliasesResponse:
        """List aliases by id."""
        page = await self.aliases.list(page_request(request.page_size, request.page_token))
        entries = [to_message(alias, pb.Alias) for alias in page.items]
        return pb.ListAliasesResponse(aliases=entries, next_page_token=page.next_token)

    async def RollbackAlias(self, request: pb.RollbackAliasRequest, context: Context) -> pb.RollbackAliasResponse:
        """Point a name at its version before."""
        alias = await self.aliases.rollback(request.alias_id, request.expected_revision)
        return pb.RollbackAliasResponse(alias=to_message(alias, pb.Alias))

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Context) -> pb.DeleteAliasResponse:
        """Remove a name."""
        await self.aliases.delete(request.alias_id)
        return pb.DeleteAliasResponse()

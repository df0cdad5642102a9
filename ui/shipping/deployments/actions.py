"""Reading deployments and aliases, with the evidence for what aliases point at."""

from __future__ import annotations

import asyncio

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation, GetEvaluationRequest
from drillyard.registry.v1 import deployment_pb2 as pb

from services.chassis.errors import NotFound
from ui.gateway.clients import Clients, every
from ui.shipping.deployments.views import (
    AliasView,
    DeploymentView,
    EvidenceView,
    alias_view,
    deployment_view,
    evidence_view,
)

_MOST = 1000


async def read_deployments(clients: Clients) -> list[DeploymentView]:
    """Return deployments, newest first."""
    return list(map(deployment_view, await list_deployments(clients)))


async def list_deployments(clients: Clients) -> list[pb.Deployment]:
    """Return deployments as the registry has them, newest first."""
    return await every(clients.registry.ListDeployments, pb.ListDeploymentsRequest(), "deployments", _MOST)


async def read_aliases(clients: Clients) -> list[AliasView]:
    """Return aliases by id, each with what speaks for its version."""
    aliases = await every(clients.registry.ListAliases, pb.ListAliasesRequest(), "aliases", _MOST)
    evidence = await asyncio.gather(*(_evidence(clients, alias) for alias in aliases))
    return [alias_view(alias, views) for alias, views in zip(aliases, evidence, strict=True)]


async def find_alias(clients: Clients, alias_id: str) -> pb.Alias:
    """Return an alias; one that is not there has revision 0 and points at nothing."""
    try:
        return (await clients.registry.GetAlias(pb.GetAliasRequest(alias_id=alias_id))).alias
    except NotFound:
        return pb.Alias(alias_id=alias_id)


async def find_evaluation(clients: Clients, evaluation_id: str) -> Evaluation | None:
    """Return an evaluation, or None for one that was deleted."""
    try:
        request = GetEvaluationRequest(evaluation_id=evaluation_id)
        return (await clients.evaluator.GetEvaluation(request)).evaluation
    except NotFound:
        return None


async def _evidence(clients: Clients, alias: pb.Alias) -> tuple[EvidenceView, ...]:
    evaluations = await asyncio.gather(*(find_evaluation(clients, item) for item in alias.evaluation_ids))
    return tuple(evidence_view(item, alias.model_version_id) for item in evaluations if item)

"""Reading deployments and aliases, with what was measured of the versions that aliases point at."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import repeat

from drillyard.evaluator.v1.evaluation_pb2 import Evaluation, GetEvaluationRequest, ListEvaluationsRequest
from drillyard.job.v1.job_pb2 import JOB_STATE_SUCCEEDED
from drillyard.registry.v1 import deployment_pb2 as pb

from services.chassis.errors import NotFound, ServiceError
from ui.gateway.clients import Clients, every
from ui.shipping.deployments.views import AliasView, DeploymentView, alias_view, deployment_view

_MOST = 1000
_NUM_LOOKED_THROUGH = 200
_EVIDENCE_SECONDS = 3


async def read_deployments(clients: Clients) -> list[DeploymentView]:
    """Return deployments, newest first."""
    return list(map(deployment_view, await list_deployments(clients)))


async def list_deployments(clients: Clients) -> list[pb.Deployment]:
    """Return deployments as the registry has them, newest first."""
    return await every(clients.registry.ListDeployments, pb.ListDeploymentsRequest(), "deployments", _MOST)


async def read_aliases(clients: Clients) -> list[AliasView]:
    """Return aliases by id, each with what was measured of its version and of the one before."""
    return await _measured(
        clients, await every(clients.registry.ListAliases, pb.ListAliasesRequest(), "aliases", _MOST)
    )


async def read_alias(clients: Clients, alias_id: str) -> AliasView:
    """Return an alias with what was measured of its version and of the one before.

    Raises:
        NotFound: There is no such alias.
    """
    alias = (await clients.registry.GetAlias(pb.GetAliasRequest(alias_id=alias_id))).alias
    (view,) = await _measured(clients, [alias])
    return view


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


async def _measured(clients: Clients, aliases: list[pb.Alias]) -> list[AliasView]:
    try:
        async with asyncio.timeout(_EVIDENCE_SECONDS):
            return await _with_evidence(clients, aliases)
    except TimeoutError:
        problem = f"evaluator did not answer within {_EVIDENCE_SECONDS} s."
    except ServiceError as error:
        problem = error.problem
    # Who rolls back in an outage needs the aliases themselves, and soon.
    return [replace(alias_view(alias), problem=problem) for alias in aliases]


async def _with_evidence(clients: Clients, aliases: list[pb.Alias]) -> list[AliasView]:
    named = await asyncio.gather(*(_named(clients, alias) for alias in aliases))
    views = list(map(alias_view, aliases, named))
    if any(not view.evidence or (view.previous_model_version_id and not view.previous_evidence) for view in views):
        views = list(map(alias_view, aliases, named, repeat(await _recent(clients))))
    return views


async def _named(clients: Clients, alias: pb.Alias) -> list[Evaluation]:
    evaluations = await asyncio.gather(*(find_evaluation(clients, item) for item in alias.evaluation_ids))
    return [item for item in evaluations if item]


async def _recent(clients: Clients) -> list[Evaluation]:
    """Return those of the newest evaluations that decide something."""
    response = await clients.evaluator.ListEvaluations(ListEvaluationsRequest(page_size=_NUM_LOOKED_THROUGH))
    return [item for item in response.evaluations if item.job.state == JOB_STATE_SUCCEEDED and not item.is_incomplete]

"""REST routes of deployments and aliases."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from drillyard.registry.v1.deployment_pb2 import DeploymentBackend
from fastapi import Query, Request
from pydantic import Field

from services.chassis.errors import InvalidArgument
from ui.openai.shadowing.shadows import shadows_of
from ui.shared.documents import ClientsOf, Document
from ui.shared.rpc import Body, RpcRouter
from ui.shipping.deployments.actions import read_alias
from ui.shipping.deployments.promotion import SUITE, Candidate, promote

router = RpcRouter(tags=["deployments"])
router.rpc(
    "POST /deployments",
    "registry.CreateDeployment",
    "Serve a version; it answers under `/v1` by the deployment's id once the state is READY.",
)
router.rpc("GET /deployments", "registry.ListDeployments", "List deployments, newest first.")
router.rpc("GET /deployments/{deployment_id}", "registry.GetDeployment", "Return one deployment as it stands now.")
router.rpc(
    "DELETE /deployments/{deployment_id}",
    "registry.DeleteDeployment",
    "Take a deployment down; refused while an alias points at it.",
)
router.rpc("GET /aliases", "registry.ListAliases", "List aliases by id.")
router.rpc("GET /aliases/{alias_id}", "registry.GetAlias", "Return one alias.")
router.rpc(
    "PUT /aliases/{alias_id}",
    "registry.SetAlias",
    "Point a name at a version in one step; refused when another move came first.",
)
router.rpc(
    "POST /aliases/{alias_id}/rollback", "registry.RollbackAlias", "Point a name at its version before, in one step."
)
router.rpc("DELETE /aliases/{alias_id}", "registry.DeleteAlias", "Remove a name; its version and deployment stay.")


@router.get("/aliases/{alias_id}/evidence")
async def get_alias_evidence(clients: ClientsOf, alias_id: str) -> Document:
    """Return what was measured of the version that an alias points at, and of the one that a rollback goes to."""
    return {"evidence": asdict(await read_alias(clients, alias_id))}


@router.get("/aliases/{alias_id}/shadow-answers")
async def list_shadow_answers(
    request: Request, alias_id: str, count: Annotated[int, Query(ge=1, le=1000, description="Most pairs.")] = 50
) -> Document:
    """Return the newest answers of an alias's shadows, each beside the answer that the client got."""
    return {"shadow_answers": await shadows_of(request).pairs.newest(alias_id, count)}


class PromotionBody(Body):
    """A candidate for an alias."""

    model_version_id: str = Field(max_length=200)
    test_suite_id: str = Field(default=SUITE, max_length=200, description="The suite that decides.")
    minimum_rate: float = Field(default=0.0, ge=0, le=1, description="Share of cases that must conform.")
    margin: float = Field(default=0.1, ge=0, le=1, description="Loss against the champion that may be chance.")
    backend: str = Field(default="DEPLOYMENT_BACKEND_UNSPECIFIED", max_length=100)
    attempt: str = Field(default="", max_length=100, description="Another text begins anew after a failure.")


@router.post("/aliases/{alias_id}/promotion")
async def promote_candidate(request: Request, clients: ClientsOf, alias_id: str, body: PromotionBody) -> Document:
    """Go on with a promotion, and say how it stands; repeat it until `step` is `promoted` or `refused`.

    The candidate is deployed, tested, and set against what the alias points at. Only then the alias moves.
    """
    names = DeploymentBackend.keys()
    if body.backend not in names:
        raise InvalidArgument(
            f"There is no backend {body.backend!r}.", f"Use one of {', '.join(names)}.", field="backend"
        )
    values = body.model_dump() | {"backend": DeploymentBackend.Value(body.backend)}
    candidate = Candidate(alias_id=alias_id, **values)
    return asdict(await promote(clients, candidate, shadows_of(request).pairs))

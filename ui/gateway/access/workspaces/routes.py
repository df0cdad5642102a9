"""REST routes of workspaces and their quotas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from ui.gateway.access.caller import Caller, Scope
from ui.gateway.access.routes import AccessOf, CallerOf, texts
from ui.gateway.access.workspaces.quotas import Quotas
from ui.gateway.access.workspaces.workspace import Use, Workspace
from ui.gateway.access.workspaces.workspaces import MAX_QUOTA, Workspaces
from ui.shared.documents import Document
from ui.shared.rpc import ContractRoute

router = APIRouter(tags=["access"], route_class=ContractRoute)


class QuotasBody(BaseModel):
    """Quotas of a workspace; 0 is none."""

    model_config = ConfigDict(extra="forbid")

    max_jobs: int = Field(default=0, ge=0, le=MAX_QUOTA, description="Jobs at work or waiting at once.")
    max_tokens: int = Field(
        default=0, ge=0, le=MAX_QUOTA, description="Tokens generated and trained in a calendar month, in UTC."
    )
    max_bytes: int = Field(
        default=0, ge=0, le=MAX_QUOTA, description="Bytes of the model, dataset and suite versions that are kept."
    )


def quotas_of(access: AccessOf, request: Request) -> Quotas:
    """Return what keeps the quotas of the application."""
    quotas: Quotas = request.app.state.quotas
    return quotas


@router.get("/workspaces")
async def list_workspaces(
    access: AccessOf, caller: CallerOf, quotas: Annotated[Quotas, Depends(quotas_of)]
) -> Document:
    """List the workspaces with their quotas and what they use; who is no admin sees their own."""
    used = await quotas.use()
    workspaces = await visible_to(caller, access.workspaces)
    return {"workspaces": [workspace_document(workspace, used) for workspace in workspaces]}


@router.put("/workspaces/{workspace_id}")
async def set_workspace(access: AccessOf, caller: CallerOf, workspace_id: str, body: QuotasBody) -> Document:
    """Give a workspace quotas, and make it where there is none; what it has begun goes on."""
    quotas = (body.max_jobs, body.max_tokens, body.max_bytes)
    workspace = await access.workspaces.set_quotas(workspace_id, quotas, creator=caller)
    return {"workspace": texts(asdict(workspace))}


@router.delete("/workspaces/{workspace_id}")
async def delete_workspace(access: AccessOf, workspace_id: str) -> Document:
    """Forget a workspace to which no key and nobody belongs; what was made in it stays."""
    await access.workspaces.delete(workspace_id)
    return {}


async def visible_to(caller: Caller, workspaces: Workspaces) -> list[Workspace]:
    """Return the workspaces whose quotas a caller may see."""
    is_admin = Scope.ADMIN in caller.scopes
    return [
        workspace for workspace in await workspaces.all() if is_admin or workspace.workspace_id == caller.workspace_id
    ]


def workspace_document(workspace: Workspace, used: Mapping[str, Use]) -> Document:
    """Return a workspace with what it uses."""
    return {**texts(asdict(workspace)), "use": asdict(used.get(workspace.workspace_id, Use()))}

"""`drillyard workspaces`: to whom belongs what is made, and how much of it there may be."""

from __future__ import annotations

from typing import Annotated

import typer

from ui.cli.options import Common, command, listing
from ui.cli.output import connected, print_table, show
from ui.shared.words import size_text

app = typer.Typer(help="Workspaces of a gateway that asks for a login, and their quotas.")
_NONE = "There are no workspaces that you may see."
WorkspaceArgument = Annotated[str, typer.Argument(help="Name of the workspace.")]


@listing(app)
@command(app, "list")
def list_workspaces(common: Common) -> None:
    """List the workspaces with their quotas and what they use; who is no admin sees their own."""
    with connected(common) as gateway:
        workspaces = gateway.get("/workspaces")["workspaces"]
        rows = [
            (
                item["workspace_id"],
                _used(f"{item['use']['num_jobs']:,}", f"{item['max_jobs']:,}", item["max_jobs"]),
                _used(f"{item['use']['num_tokens']:,}", f"{item['max_tokens']:,}", item["max_tokens"]),
                _used(size_text(item["use"]["num_bytes"]), size_text(item["max_bytes"]), item["max_bytes"]),
            )
            for item in workspaces
        ]
        columns = ("workspace", "jobs", "tokens this month", "kept")
        show(workspaces, as_json=common.as_json, table=lambda: print_table("Workspaces", columns, rows, empty=_NONE))


@command(app, "set")
def set_workspace(
    workspace_id: WorkspaceArgument,
    common: Common,
    max_jobs: Annotated[int, typer.Option(help="Most jobs at work or waiting at once; 0: no limit.", min=0)] = 0,
    max_tokens: Annotated[
        int, typer.Option(help="Most tokens generated and trained in a month; 0: no limit.", min=0)
    ] = 0,
    max_bytes: Annotated[
        int, typer.Option(help="Most bytes of models, datasets and suites that are kept; 0: no limit.", min=0)
    ] = 0,
) -> None:
    """Give a workspace quotas, all three at once, and make it where there is none."""
    with connected(common) as gateway:
        body = {"max_jobs": max_jobs, "max_tokens": max_tokens, "max_bytes": max_bytes}
        stored = gateway.put(f"/workspaces/{workspace_id}", body)["workspace"]
        told = ", ".join(f"{name} {value or 'no limit'}" for name, value in body.items())
        show(stored, as_json=common.as_json, table=lambda: print(f"{workspace_id}: {told}."))


@command(app, "delete")
def delete_workspace(workspace_id: WorkspaceArgument, common: Common) -> None:
    """Forget a workspace to which no key and nobody belongs; what was made in it stays."""
    with connected(common) as gateway:
        answer = gateway.delete(f"/workspaces/{workspace_id}")
        show(answer, as_json=common.as_json, table=lambda: print(f"{workspace_id} is forgotten."))


def _used(used: str, allowed: str, quota: int) -> str:
    return f"{used} of {allowed}" if quota else used

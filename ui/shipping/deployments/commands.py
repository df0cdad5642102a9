"""`drillyard deployments`: serve versions."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer
from drillyard.registry.v1.deployment_pb2 import DeploymentSpec

from ui.cli.connection import Document, Gateway
from ui.cli.fields import FieldOptions
from ui.cli.follow import Progress, display, follow
from ui.cli.jobs import add_delete_command, add_show_command
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, fail, print_table, show

app = typer.Typer(help="Serve versions.")
ModelArgument = Annotated[str, typer.Argument(help="A model version, or a model for its newest.")]
DeploymentArgument = Annotated[str, typer.Argument(help="A deployment.")]


Settings: TypeAlias = Annotated[
    Document, FieldOptions(DeploymentSpec, ("model_version_id",), {"test_suite_version_id": "suite"})
]


@command(app, "create")
def create(model: ModelArgument, settings: Settings, common: Common, follow_it: Follow = True) -> None:
    """Serve a version, and wait until it answers and has passed its suite, if it has one."""
    with connected(common) as gateway:
        deployment = gateway.post("/deployments", {**settings, "model_version_id": model})["deployment"]
        if follow_it:
            _follow(gateway, deployment["deployment_id"], common)
        else:
            show(deployment, as_json=common.as_json, table=lambda: print(state_sentence_of(deployment)))


@command(app, "watch")
def watch(deployment_id: DeploymentArgument, common: Common) -> None:
    """Follow a deployment until it answers and has passed its suite, or fails."""
    with connected(common) as gateway:
        _follow(gateway, deployment_id, common)


@listing(app)
@command(app, "list")
def list_deployments(common: Common) -> None:
    """List deployments, newest first."""
    with connected(common) as gateway:
        deployments = gateway.every("/deployments", "deployments")
        rows = (
            (
                entry["deployment_id"],
                entry["spec"]["model_version_id"],
                backend_of(entry),
                state_of(entry),
                entry["reason"],
            )
            for entry in deployments
        )
        columns = ("deployment", "model", "served by", "state", "reason")
        none = "Nothing is deployed. Serve a version with `drillyard deployments create MODEL`."
        show(deployments, as_json=common.as_json, table=lambda: print_table("Deployments", columns, rows, empty=none))


add_show_command(app, "/deployments", "Show a deployment as it stands now.")
add_delete_command(app, "/deployments", "Take a deployment down to which no alias points.")


def state_sentence_of(deployment: Document) -> str:
    """Return where a deployment stands."""
    summary = (deployment.get("test") or {}).get("summary", "")
    return f"{deployment['deployment_id']} is {state_of(deployment)}. {summary}".strip()


def state_of(deployment: Document) -> str:
    """Return a deployment's state in small letters."""
    return str(deployment["state"]).removeprefix("DEPLOYMENT_STATE_").lower()


def backend_of(deployment: Document) -> str:
    """Return what serves a deployment, in words."""
    return str(deployment["spec"]["backend"]).removeprefix("DEPLOYMENT_BACKEND_").lower().replace("_", " ")


def _follow(gateway: Gateway, deployment_id: str, common: Common) -> None:
    path = f"/deployments/{deployment_id}"

    def read() -> Progress:
        deployment = gateway.get(path)["deployment"]
        text = " · ".join(part for part in (state_of(deployment), deployment["reason"]) if part)
        return Progress(text, None, state_of(deployment) not in ("starting", "testing"))

    with display(as_json=common.as_json) as on:
        follow(f"Deployment {deployment_id}", read, on)
    deployment = gateway.get(path)["deployment"]
    if deployment["state"] == "DEPLOYMENT_STATE_FAILED":
        fail("FAILED_PRECONDITION", deployment["reason"], "", as_json=common.as_json)
    show(deployment, as_json=common.as_json, table=lambda: print(state_sentence_of(deployment)))

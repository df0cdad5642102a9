"""`drillyard deployments` and `drillyard aliases`: serve versions, and point names at them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer
from drillyard.registry.v1.deployment_pb2 import DeploymentSpec

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, Progress, display, follow
from ui.cli.jobs import add_delete_command
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import EXIT_FAILED, connected, fail, print_facts, print_table, show
from ui.shared.words import percent_text
from ui.shipping.deployments.views import answer_line, verdict_line

app = typer.Typer(help="Serve versions.")
aliases_app = typer.Typer(help="Point names, such as smollm2:champion, at versions.")
ModelArgument = Annotated[str, typer.Argument(help="A model version, or a model for its newest.")]
AliasArgument = Annotated[str, typer.Argument(help="Such as smollm2:champion.")]


@dataclass(frozen=True)
class PromotionOptions:
    """What decides on a candidate."""

    suite: Annotated[str, typer.Option(help="The suite that decides.")] = "roo_xml/smoke"
    minimum: Annotated[float, typer.Option(help="Share of cases that must conform.", min=0, max=1)] = 0.0
    margin: Annotated[
        float, typer.Option(help="Loss against the champion that is let pass where it may be chance.", min=0, max=1)
    ] = 0.1
    again: Annotated[bool, typer.Option("--again", help="Test anew what an earlier attempt refused.")] = False


Settings: TypeAlias = Annotated[Document, FieldOptions(DeploymentSpec, ("model_version_id",))]


@command(app, "create")
def create(model: ModelArgument, settings: Settings, common: Common, follow_it: Follow = True) -> None:
    """Serve a version, and wait until it answers."""
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        deployment = gateway.post("/deployments", {**settings, "model_version_id": model})["deployment"]
        path = f"/deployments/{deployment['deployment_id']}"
        if follow_it:
            follow(f"Deployment {deployment['deployment_id']}", lambda: progress(gateway, path), on)
            deployment = gateway.get(path)["deployment"]
            if deployment["state"] == "DEPLOYMENT_STATE_FAILED":
                fail("FAILED_PRECONDITION", deployment["reason"], "", as_json=common.as_json)
        show(
            deployment,
            as_json=common.as_json,
            table=lambda: on.say(f"{deployment['deployment_id']} is {state_of(deployment)}."),
        )


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


@command(app, "show")
def show_deployment(deployment_id: Annotated[str, typer.Argument(help="A deployment.")], common: Common) -> None:
    """Show one deployment as it stands now."""
    with connected(common) as gateway:
        deployment = gateway.get(f"/deployments/{deployment_id}")["deployment"]
        show(deployment, as_json=common.as_json, table=lambda: print_facts(deployment))


add_delete_command(app, "/deployments", "Take a deployment down to which no alias points.")


@command(aliases_app, "set")
def set_alias(
    alias_id: AliasArgument,
    model: ModelArgument,
    common: Common,
    deployment: Annotated[str, typer.Option(help="What answers; without it the workers of test-runner do.")] = "",
    shadow: Annotated[str, typer.Option(help="A version that gets a copy of each request, unseen.")] = "",
    expected_revision: Annotated[
        int, typer.Option(help="The revision that you saw; by default that of now.", min=0)
    ] = 0,
) -> None:
    """Point a name at a version, in one step."""
    with connected(common) as gateway:
        body = {
            "model_version_id": model,
            "deployment_id": deployment,
            "shadow_model_version_id": shadow,
            "expected_revision": expected_revision or revision_of(gateway, alias_id),
        }
        alias = gateway.put(f"/aliases/{alias_id}", body)["alias"]
        show(alias, as_json=common.as_json, table=lambda: print(sentence_of(alias)))


@listing(aliases_app)
@command(aliases_app, "list")
def list_aliases(common: Common) -> None:
    """List aliases by id."""
    with connected(common) as gateway:
        aliases = gateway.every("/aliases", "aliases")
        rows = (
            (
                alias["alias_id"],
                alias["model_version_id"],
                alias["deployment_id"] or "workers",
                alias["previous_model_version_id"],
                alias["shadow_model_version_id"],
                alias["revision"],
            )
            for alias in aliases
        )
        columns = ("alias", "model", "answered by", "before", "shadow", "revision")
        none = "No alias yet. Point one with `drillyard aliases set smollm2:champion MODEL`."
        show(aliases, as_json=common.as_json, table=lambda: print_table("Aliases", columns, rows, empty=none))


@command(aliases_app, "shadow-answers")
def list_shadow_answers(
    alias_id: AliasArgument,
    common: Common,
    count: Annotated[int, typer.Option(help="Most pairs.", min=1, max=1000)] = 20,
) -> None:
    """List the newest answers of an alias's shadows beside those that clients got; --json has them whole."""
    with connected(common) as gateway:
        pairs = gateway.get(f"/aliases/{alias_id}/shadow-answers", count=count)["shadow_answers"]
        rows = (
            (
                pair["time"],
                pair["shadow_model_version_id"],
                pair["outcome"],
                answer_line(pair["answer"]),
                verdict_line(pair.get("verdict")),
                answer_line(pair["shadow_answer"]),
                verdict_line(pair.get("shadow_verdict")),
            )
            for pair in pairs
        )
        columns = ("time", "shadow", "outcome", "answer", "its form", "answer of the shadow", "its form")
        none = "No shadow has answered. Name one with `drillyard aliases set ALIAS MODEL --shadow VERSION`."
        show(pairs, as_json=common.as_json, table=lambda: print_table("Answers", columns, rows, empty=none))


add_delete_command(aliases_app, "/aliases", "Remove a name; its version and deployment stay.")


def rollback(
    alias_id: AliasArgument,
    common: Common,
    expected_revision: Annotated[
        int, typer.Option(help="The revision that you saw; by default that of now.", min=0)
    ] = 0,
) -> None:
    """Point a name at its version before, in one step."""
    with connected(common) as gateway:
        body = {"expected_revision": expected_revision or revision_of(gateway, alias_id)}
        alias = gateway.post(f"/aliases/{alias_id}/rollback", body)["alias"]
        show(alias, as_json=common.as_json, table=lambda: print(sentence_of(alias)))


def promote(
    model: ModelArgument,
    alias: Annotated[str, typer.Option(help="Such as smollm2:champion.")],
    options: PromotionOptions,
    common: Common,
) -> None:
    """Deploy a candidate, test it, set it against the champion, and only then give it the alias.

    Where it was interrupted, the same command goes on.
    """
    body = {
        "model_version_id": model,
        "test_suite_id": options.suite,
        "minimum_rate": options.minimum,
        "margin": options.margin,
        "attempt": secrets.token_hex(4) if options.again else "",
    }
    with connected(common) as gateway, display(as_json=common.as_json) as on:

        def read() -> Progress:
            promotion.update(gateway.post(f"/aliases/{alias}/promotion", body))
            is_final = promotion["step"] in ("promoted", "refused")
            return Progress(f"{promotion['step']} · {promotion['sentence']}", None, is_final)

        promotion: Document = {}
        follow(f"Promotion to {alias}", read, on)
        show(promotion, as_json=common.as_json, table=lambda: print_promotion(promotion, on))
        if promotion["step"] == "refused":
            raise typer.Exit(EXIT_FAILED)


def print_promotion(promotion: Document, on: Display) -> None:
    """Print the evidence, and what came of it."""
    sides = [(side, promotion[side]) for side in ("champion", "candidate") if promotion[side]]
    rows = (
        (
            side,
            view["model_version_id"],
            percent_text(view["rate"]),
            " to ".join(map(percent_text, view["interval"])),
            view["num_cases"],
            view["evaluation_id"],
        )
        for side, view in sides
    )
    columns = ("", "model", "conforming", "interval", "cases", "evaluation")
    print_table("", columns, rows, empty="Nothing was judged.")
    if promotion["comparison"]:
        on.say(promotion["comparison"])
    if promotion["shadow"]:
        on.say(promotion["shadow"])
    on.say(promotion["sentence"])


def revision_of(gateway: Gateway, alias_id: str) -> int:
    """Return the revision at which an alias stands, 0 when it is not there."""
    try:
        return int(gateway.get(f"/aliases/{alias_id}")["alias"]["revision"])
    except GatewayError as error:
        if error.code == "NOT_FOUND":
            return 0
        raise


def sentence_of(alias: Document) -> str:
    """Return where an alias points."""
    by = f", answered by {alias['deployment_id']}" if alias["deployment_id"] else ""
    return f"{alias['alias_id']} is {alias['model_version_id']}{by} (revision {alias['revision']})."


def state_of(deployment: Document) -> str:
    """Return a deployment's state in small letters."""
    return str(deployment["state"]).removeprefix("DEPLOYMENT_STATE_").lower()


def backend_of(deployment: Document) -> str:
    """Return what serves a deployment, in words."""
    return str(deployment["spec"]["backend"]).removeprefix("DEPLOYMENT_BACKEND_").lower().replace("_", " ")


def progress(gateway: Gateway, path: str) -> Progress:
    """Return how far a deployment has come."""
    deployment = gateway.get(path)["deployment"]
    text = " · ".join(part for part in (state_of(deployment), deployment["reason"]) if part)
    return Progress(text, None, state_of(deployment) != "starting")

"""`drillyard aliases`, `promote` and `rollback`: point names at versions, with what was measured of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer
from drillyard.registry.v1.deployment_pb2 import DeploymentSpec, SetAliasRequest

from ui.cli.connection import Document, Gateway, GatewayError
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, Progress, display, follow
from ui.cli.jobs import add_delete_command
from ui.cli.options import Common, command, listing
from ui.cli.output import EXIT_FAILED, connected, print_table, show
from ui.shared.words import percent_text
from ui.shipping.deployments.views import answer_line, verdict_line

app = typer.Typer(help="Point names, such as smollm2:champion, at versions.")
ModelArgument = Annotated[str, typer.Argument(help="A model version, or a model for its newest.")]
AliasArgument = Annotated[str, typer.Argument(help="Such as smollm2:champion.")]
_NAMES = {"deployment_id": "deployment", "shadow_model_version_id": "shadow", "evaluation_ids": "evaluation"}
Settings: TypeAlias = Annotated[Document, FieldOptions(SetAliasRequest, ("alias_id", "model_version_id"), _NAMES)]
_OTHERS = tuple(field.name for field in DeploymentSpec.DESCRIPTOR.fields if field.name != "backend")
Backend: TypeAlias = Annotated[Document, FieldOptions(DeploymentSpec, _OTHERS)]


@dataclass(frozen=True)
class PromotionOptions:
    """What decides on a candidate."""

    suite: Annotated[str, typer.Option(help="The suite that decides.")] = "roo_xml/smoke"
    minimum: Annotated[float, typer.Option(help="Share of cases that must conform.", min=0, max=1)] = 0.0
    margin: Annotated[
        float, typer.Option(help="Loss against the champion that is let pass where it may be chance.", min=0, max=1)
    ] = 0.1
    again: Annotated[bool, typer.Option("--again", help="Test anew what an earlier attempt refused.")] = False


@command(app, "set")
def set_alias(alias_id: AliasArgument, model: ModelArgument, settings: Settings, common: Common) -> None:
    """Point a name at a version, in one step; without `--deployment` the workers of test-runner answer."""
    with connected(common) as gateway:
        body = {"model_version_id": model, **settings}
        body.setdefault("expected_revision", revision_of(gateway, alias_id))
        alias = gateway.put(f"/aliases/{alias_id}", body)["alias"]
        show(alias, as_json=common.as_json, table=lambda: print(sentence_of(alias)))


@listing(app)
@command(app, "list")
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


@command(app, "show")
def show_alias(alias_id: AliasArgument, common: Common) -> None:
    """Show where a name points, and what was measured of that version and of the one that a rollback goes to."""
    with connected(common) as gateway:
        evidence = gateway.get(f"/aliases/{alias_id}/evidence")["evidence"]
        names = ("at", "before") if evidence["previous_model_version_id"] else ("at",)

        def table() -> None:
            _print_sides(evidence, names)
            print(sentence_of(evidence))

        show(evidence, as_json=common.as_json, table=table)


@command(app, "shadow-answers")
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


add_delete_command(app, "/aliases", "Remove a name; its version and deployment stay.")


def rollback(
    alias_id: AliasArgument,
    common: Common,
    expected_revision: Annotated[
        int, typer.Option(help="The revision that you saw; by default that of now.", min=0)
    ] = 0,
) -> None:
    """Point a name at its version before, in one step, and say what was measured of both."""
    with connected(common) as gateway:
        evidence = gateway.get(f"/aliases/{alias_id}/evidence")["evidence"]
        body = {"expected_revision": expected_revision or evidence["revision"]}
        alias = gateway.post(f"/aliases/{alias_id}/rollback", body)["alias"]

        def table() -> None:
            _print_sides(evidence, ("left", "now"))
            print(sentence_of(alias))

        show({**alias, "evidence": evidence}, as_json=common.as_json, table=table)


def promote(
    model: ModelArgument,
    alias: Annotated[str, typer.Option(help="Such as smollm2:champion.")],
    options: PromotionOptions,
    backend: Backend,
    common: Common,
) -> None:
    """Deploy a candidate, test it, set it against the champion, and only then give it the alias.

    Where it was interrupted, the same command goes on.
    """
    body = {
        **backend,
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
    sides = [(name, view["model_version_id"], view) for name in ("champion", "candidate") if (view := promotion[name])]
    print_evidence(sides)
    if promotion["comparison"]:
        on.say(promotion["comparison"])
    if promotion["shadow"]:
        on.say(promotion["shadow"])
    on.say(promotion["sentence"])


def print_evidence(sides: Iterable[tuple[str, str, Document | None]]) -> None:
    """Print what was measured of versions: the name of each in a promotion or rollback, its id, and its evidence."""
    rows = (
        (
            name,
            version_id,
            percent_text(view["rate"]),
            " to ".join(map(percent_text, view["interval"])),
            view["num_cases"],
            view["test_suite_version_id"],
            view["evaluation_id"],
        )
        if view
        else (name, version_id, "not measured", "", "", "", "")
        for name, version_id, view in sides
    )
    columns = ("", "model", "conforming", "interval", "cases", "suite", "evaluation")
    print_table("", columns, rows, empty="Nothing was judged.")


def _print_sides(evidence: Document, names: Sequence[str]) -> None:
    """Print what was measured of an alias's version and of the one before, by names in this order."""
    versions = (evidence["model_version_id"], evidence["previous_model_version_id"])
    views = (next(iter(evidence["evidence"]), None), evidence["previous_evidence"])
    print_evidence(zip(names, versions, views, strict=False))
    if evidence["problem"]:
        print(f"What was measured cannot be read now: {evidence['problem']}")


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

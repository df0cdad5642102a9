"""`drillyard publish`, `drillyard ship` and `drillyard shipments`: versions leave through the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import typer
from drillyard.feedback.v1.shipment_pb2 import GateStep, ShipmentSpec

from services.chassis.errors import ServiceError
from services.chassis.wire.fields import label_of
from ui.cli.connection import Document, Gateway
from ui.cli.fields import FieldOptions
from ui.cli.follow import Display, Progress, display, follow, job_progress
from ui.cli.jobs import add_job_commands, refuse_failed, state_of
from ui.cli.options import Common, Follow, command, listing
from ui.cli.output import connected, fail, print_table, show
from ui.models.exports.destinations import destination_fields
from ui.models.exports.forms import form_fields

app = typer.Typer(help="Versions that were exported, proven and published.")

Settings: TypeAlias = Annotated[
    Document,
    FieldOptions(
        ShipmentSpec,
        (
            *("model_version_id", "test_suite_version_id", "destinations"),
            *(f"endpoint.{name}" for name in ("tool_mode", "stop", "extra_body", "max_concurrency")),
            *(f"export.{name}" for name in ("model_version_id", "form", "number_type", "card")),
        ),
        {
            "export.model_id": "id",
            "export.profile_id": "profile",
            "export.num_ctx": "num-ctx",
            "endpoint.base_url": "endpoint",
            "endpoint.model": "endpoint-model",
            "endpoint.num_ctx": "endpoint-ctx",
        },
    ),
]


@dataclass(frozen=True)
class Delivery:
    """The options of every command that ships."""

    form: Annotated[str, typer.Option("--as", help="The form, such as adapter, merged, gguf:Q4_K_M or ollama:Q8_0.")]
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", help="Where it goes, such as ollama:NAME or hf:OWNER/NAME; repeatable; none only proves it."
        ),
    ] = None
    secret: Annotated[str, typer.Option(help="Name of the registry's secret with the token of the places.")] = ""
    replace: Annotated[bool, typer.Option("--replace", help="Give a name that exists to the new bytes.")] = False
    follow_it: Follow = True

    def body(self, settings: Document, *, as_json: bool) -> Document:
        """Return what is sent, besides the version and the suite."""
        try:
            form = form_fields(self.form)
            places = [destination_fields(text, secret=self.secret, replace=self.replace) for text in self.to or ()]
        except ServiceError as error:
            fail(error.code, error.problem, error.next_step, as_json=as_json)
        return {**settings, "export": {**settings.get("export", {}), **form}, "destinations": places}


def publish(
    model: Annotated[str, typer.Argument(help="A model version, or a model for its newest.")],
    delivery: Delivery,
    settings: Settings,
    common: Common,
    suite: Annotated[str, typer.Option(help="A suite version, or a suite for its newest.")] = "roo_xml/core",
) -> None:
    """Export a version, prove that the form does what the version does, and publish it."""
    body = delivery.body(settings, as_json=common.as_json)
    _ship({**body, "model_version_id": model, "test_suite_version_id": suite}, common, follow_it=delivery.follow_it)


def ship(
    loop_id: Annotated[str, typer.Argument(metavar="LOOP", help="A loop; its best version is shipped.")],
    delivery: Delivery,
    settings: Settings,
    common: Common,
) -> None:
    """Ship the best version of a loop: export it, prove it on the loop's suite, and publish it."""
    body = delivery.body(settings, as_json=common.as_json)
    with connected(common) as gateway:
        loop = gateway.get(f"/loops/{loop_id}")["loop"]
    best = loop["best_model_version_id"]
    if not best:
        fail(
            "FAILED_PRECONDITION",
            f"The loop {loop_id} has tested no version yet.",
            "Ship it once its first test is judged.",
            as_json=common.as_json,
        )
    names = ("test_suite_version_id", "prompt_size", "max_new_tokens")
    own = {name: loop["spec"][name] for name in names if loop["spec"][name]}
    _ship({**own, **body, "model_version_id": best}, common, follow_it=delivery.follow_it)


@listing(app)
@command(app, "list")
def list_shipments(common: Common) -> None:
    """List the newest shipments."""
    with connected(common) as gateway:
        shipments = gateway.every("/shipments", "shipments", limit=50)
        columns = ("shipment", "model", "form", "state", "step", "published")
        none = "No shipment yet. Start one with `drillyard publish MODEL --as gguf:Q8_0`."
        show(
            shipments,
            as_json=common.as_json,
            table=lambda: print_table("Shipments", columns, map(_row, shipments), empty=none),
        )


@command(app, "show")
def show_shipment(shipment_id: Annotated[str, typer.Argument(help="A shipment.")], common: Common) -> None:
    """Show what each step of a shipment's gate found."""
    with connected(common) as gateway:
        shipment = gateway.get(f"/shipments/{shipment_id}")["shipment"]
        show(shipment, as_json=common.as_json, table=lambda: _print(shipment))


def read_progress(gateway: Gateway, shipment_id: str) -> Progress:
    """Return how far a shipment has come."""
    return job_progress(gateway.get(f"/shipments/{shipment_id}")["shipment"]["job"])


add_job_commands(
    app,
    "/shipments",
    read_progress,
    {"cancel": "Cancel a shipment and the job that it waits for; what is published stays."},
)


def _ship(body: Document, common: Common, *, follow_it: bool) -> None:
    with connected(common) as gateway, display(as_json=common.as_json) as on:
        shipment = gateway.post("/shipments", body)["shipment"]
        if follow_it:
            log = _StepLog(gateway, shipment["shipment_id"], on)
            follow("Shipment", log.read, on)
            shipment = log.shipment
            refuse_failed(shipment["job"], as_json=common.as_json)
    show(shipment, as_json=common.as_json, table=lambda: _print(shipment))


class _StepLog:
    """Reads how far a shipment has come; says a line that stays for each step that ended."""

    def __init__(self, gateway: Gateway, shipment_id: str, on: Display) -> None:
        self._gateway, self._shipment_id, self._on = gateway, shipment_id, on
        self._num_told = 0
        self.shipment: Document = {}

    def read(self) -> Progress:
        """Return how far the shipment has come."""
        self.shipment = self._gateway.get(f"/shipments/{self._shipment_id}")["shipment"]
        for result in self.shipment["results"][self._num_told :]:
            self._on.say("\n".join(_lines(result)))
        self._num_told = len(self.shipment["results"])
        return job_progress(self.shipment["job"])


def _row(shipment: Document) -> tuple[Any, ...]:
    results, spec = shipment["results"], shipment["spec"]
    form = " ".join((_word(spec["export"]["form"], "EXPORT_FORM_"), spec["export"]["number_type"]))
    step = _word(results[-1]["step"], "GATE_STEP_") if results else ""
    state, places = state_of(shipment["job"]), ", ".join(shipment["locations"])
    return shipment["shipment_id"], spec["model_version_id"], form, state, step, places


def _print(shipment: Document) -> None:
    for result in shipment["results"]:
        print("\n".join(_lines(result)))
    print(f"{shipment['shipment_id']} is {state_of(shipment['job'])}.")


def _lines(result: Document) -> list[str]:
    title = label_of(GateStep.DESCRIPTOR, GateStep.Value(result["step"]))
    head = f"{'✓' if result['passed'] else '✗'} {title}: {result['summary']}"
    return [head, *(f"    {difference}" for difference in result["differences"])]


def _word(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower().replace("_", " ")

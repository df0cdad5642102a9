"""Shipments as a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.feedback.v1.shipment_pb2 import GateStep, Shipment

from services.chassis.wire.fields import label_of
from ui.models.exports.destinations import destination_text
from ui.models.exports.forms import form_text
from ui.shared.jobs import JobView, job_view


@dataclass(frozen=True)
class GateStepView:
    """One step of the gate; `state` is waiting, live, done or failed."""

    step: str
    title: str
    state: str
    summary: str
    differences: tuple[str, ...]


@dataclass(frozen=True)
class ShipmentView:
    """A shipment with all of its steps, those to come included."""

    shipment_id: str
    model_version_id: str
    test_suite_version_id: str
    form: str
    form_model_version_id: str
    destinations: tuple[str, ...]
    locations: tuple[str, ...]
    steps: tuple[GateStepView, ...]
    job: JobView


def shipment_view(shipment: Shipment) -> ShipmentView:
    """Return the view of a shipment."""
    spec, job = shipment.spec, job_view(shipment.job)
    return ShipmentView(
        shipment_id=shipment.shipment_id,
        model_version_id=spec.model_version_id,
        test_suite_version_id=spec.test_suite_version_id,
        form=form_text(spec.export.form, spec.export.number_type),
        form_model_version_id=shipment.form_model_version_id,
        destinations=tuple(map(destination_text, spec.destinations)),
        locations=tuple(shipment.locations),
        steps=_steps(shipment, is_over=job.is_final),
        job=job,
    )


def _steps(shipment: Shipment, *, is_over: bool) -> tuple[GateStepView, ...]:
    results = {result.step: result for result in shipment.results}
    views: list[GateStepView] = []
    for name, number in GateStep.items():
        if not number:
            continue
        result = results.get(number)
        title = label_of(GateStep.DESCRIPTOR, number)
        if result is not None:
            state = "done" if result.passed else "failed"
            views.append(GateStepView(name, title, state, result.summary, tuple(result.differences)))
        else:
            is_live = not is_over and all(view.state == "done" for view in views)
            views.append(GateStepView(name, title, "live" if is_live else "waiting", "", ()))
    return tuple(views)

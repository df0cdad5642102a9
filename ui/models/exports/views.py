"""Exports and publications as a person sees them."""

from __future__ import annotations

from dataclasses import dataclass

from drillyard.registry.v1.export_pb2 import Export
from drillyard.registry.v1.publication_pb2 import Publication

from ui.models.exports.destinations import destination_text
from ui.models.exports.forms import form_text
from ui.shared.jobs import JobView, job_view


@dataclass(frozen=True)
class ShippingView:
    """One export or publication at work or ended.

    Attributes:
        target: The form, or the place.
        result: The version that was made, or where the version is now; empty until then.
    """

    version_id: str
    target: str
    result: str
    job: JobView
    notes: tuple[str, ...] = ()


def export_view(export: Export) -> ShippingView:
    """Return the view of an export."""
    spec = export.spec
    form = form_text(spec.form, spec.number_type)
    return ShippingView(spec.model_version_id, form, export.model_version_id, job_view(export.job), tuple(export.notes))


def publication_view(publication: Publication) -> ShippingView:
    """Return the view of a publication."""
    spec = publication.spec
    place = destination_text(spec.destination)
    return ShippingView(
        spec.model_version_id or spec.dataset_version_id, place, publication.location, job_view(publication.job)
    )

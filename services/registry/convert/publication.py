"""Publications on the wire."""

from __future__ import annotations

from drillyard.registry.v1 import publication_pb2

from services.chassis.wire import from_message, to_message
from services.registry.domain.publication import Publication, PublicationSpec


def publication_to_proto(publication: Publication) -> publication_pb2.Publication:
    """Return the publication as callers see it."""
    return to_message(publication, publication_pb2.Publication, publication_id=publication.job.job_id)


def publication_spec(message: publication_pb2.PublicationSpec) -> PublicationSpec:
    """Return what a caller wants to publish."""
    return from_message(PublicationSpec, message)

"""RPCs of publications."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from drillyard.registry.v1 import publication_pb2

from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.publication import Publication, PublicationSpec
from services.registry.usecases.publication import PublicationUseCases


def publication_to_proto(publication: Publication) -> publication_pb2.Publication:
    """Return the publication as callers see it."""
    return to_message(publication, publication_pb2.Publication, publication_id=publication.job.job_id)


_rpcs = ResourceRpcs(attrgetter("publications.resource"), publication_to_proto)


class PublicationRpcs:
    """Create, get, list, cancel and watch."""

    publications: PublicationUseCases
    CreatePublication = _rpcs.create(
        publication_pb2.CreatePublicationResponse,
        partial(from_message, PublicationSpec),
        attrgetter("publications.create"),
    )
    GetPublication = _rpcs.get(publication_pb2.GetPublicationResponse)
    ListPublications = _rpcs.list(publication_pb2.ListPublicationsResponse)
    CancelPublication = _rpcs.cancel(publication_pb2.CancelPublicationResponse)
    WatchPublication = _rpcs.watch(publication_pb2.WatchPublicationResponse)

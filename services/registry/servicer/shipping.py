"""RPCs of exports and publications."""

from __future__ import annotations

from functools import partial
from operator import attrgetter

from drillyard.registry.v1 import export_pb2, publication_pb2

from services.chassis.jobs.convert import ResourceRpcs
from services.chassis.wire import from_message, to_message
from services.registry.domain.export import Export, ExportSpec
from services.registry.domain.publication import Publication, PublicationSpec
from services.registry.usecases.export import ExportUseCases
from services.registry.usecases.publication import PublicationUseCases


def export_to_proto(export: Export) -> export_pb2.Export:
    """Return the export as callers see it."""
    return to_message(export, export_pb2.Export, export_id=export.job.job_id)


_exports = ResourceRpcs(attrgetter("exports.resource"), export_to_proto)


class ExportRpcs:
    """Create, get, list, cancel and watch."""

    exports: ExportUseCases
    CreateExport = _exports.create(
        export_pb2.CreateExportResponse, partial(from_message, ExportSpec), attrgetter("exports.create")
    )
    GetExport = _exports.get(export_pb2.GetExportResponse)
    ListExports = _exports.list(export_pb2.ListExportsResponse)
    CancelExport = _exports.cancel(export_pb2.CancelExportResponse)
    WatchExport = _exports.watch(export_pb2.WatchExportResponse)


def publication_to_proto(publication: Publication) -> publication_pb2.Publication:
    """Return the publication as callers see it."""
    return to_message(publication, publication_pb2.Publication, publication_id=publication.job.job_id)


_publications = ResourceRpcs(attrgetter("publications.resource"), publication_to_proto)


class PublicationRpcs:
    """Create, get, list, cancel and watch."""

    publications: PublicationUseCases
    CreatePublication = _publications.create(
        publication_pb2.CreatePublicationResponse,
        partial(from_message, PublicationSpec),
        attrgetter("publications.create"),
    )
    GetPublication = _publications.get(publication_pb2.GetPublicationResponse)
    ListPublications = _publications.list(publication_pb2.ListPublicationsResponse)
    CancelPublication = _publications.cancel(publication_pb2.CancelPublicationResponse)
    WatchPublication = _publications.watch(publication_pb2.WatchPublicationResponse)

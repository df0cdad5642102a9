"""Starting, reading and cancelling exports and publications."""

from __future__ import annotations

from itertools import islice
from typing import Literal, TypeAlias

from drillyard.registry.v1.export_pb2 import CancelExportRequest, CreateExportRequest, ExportSpec, ListExportsRequest
from drillyard.registry.v1.publication_pb2 import (
    CancelPublicationRequest,
    CreatePublicationRequest,
    ListPublicationsRequest,
    PublicationSpec,
)

from ui.gateway.clients import Clients
from ui.models.exports.views import ShippingView, export_view, publication_view

_NUM_RECENT = 5
_NUM_LOOKED_THROUGH = 50
Noun: TypeAlias = Literal["model_version_id", "dataset_version_id"]


async def read_exports(clients: Clients) -> list[ShippingView]:
    """Return the newest exports."""
    exports = await clients.registry.ListExports(ListExportsRequest(page_size=_NUM_RECENT))
    return list(map(export_view, exports.exports))


async def read_publications(clients: Clients, noun: Noun) -> list[ShippingView]:
    """Return the newest publications of models or of datasets."""
    response = await clients.registry.ListPublications(ListPublicationsRequest(page_size=_NUM_LOOKED_THROUGH))
    wanted = (one for one in response.publications if getattr(one.spec, noun))
    return [publication_view(one) for one in islice(wanted, _NUM_RECENT)]


async def start_export(clients: Clients, spec: ExportSpec) -> ShippingView:
    """Start to export a version in a form."""
    return export_view((await clients.registry.CreateExport(CreateExportRequest(spec=spec))).export)


async def start_publication(clients: Clients, spec: PublicationSpec) -> ShippingView:
    """Start to publish a version at a place."""
    request = CreatePublicationRequest(spec=spec)
    return publication_view((await clients.registry.CreatePublication(request)).publication)


async def cancel_export(clients: Clients, export_id: str) -> ShippingView:
    """Cancel an export; nothing of it becomes visible."""
    return export_view((await clients.registry.CancelExport(CancelExportRequest(export_id=export_id))).export)


async def cancel_publication(clients: Clients, publication_id: str) -> ShippingView:
    """Cancel a publication; nothing of it becomes visible."""
    request = CancelPublicationRequest(publication_id=publication_id)
    return publication_view((await clients.registry.CancelPublication(request)).publication)

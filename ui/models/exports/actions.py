"""Starting and reading exports and publications."""

from __future__ import annotations

from drillyard.registry.v1.export_pb2 import CreateExportRequest, ExportSpec, ListExportsRequest
from drillyard.registry.v1.publication_pb2 import CreatePublicationRequest, ListPublicationsRequest, PublicationSpec
from google.protobuf.json_format import ParseDict

from ui.gateway.clients import Clients
from ui.models.exports.destinations import destination_fields
from ui.models.exports.forms import form_fields
from ui.models.exports.views import ShippingView, export_view, publication_view

_NUM_RECENT = 5


async def read_shipping(clients: Clients) -> list[ShippingView]:
    """Return the newest exports and publications."""
    exports = await clients.registry.ListExports(ListExportsRequest(page_size=_NUM_RECENT))
    publications = await clients.registry.ListPublications(ListPublicationsRequest(page_size=_NUM_RECENT))
    return [*map(export_view, exports.exports), *map(publication_view, publications.publications)]


async def start_export(clients: Clients, model_version_id: str, form: str, name: str) -> ShippingView:
    """Start to export a version in a form such as `gguf:Q4_K_M`.

    Raises:
        InvalidArgument: The text is no form.
    """
    fields = {"model_version_id": model_version_id, "model_id": name, **form_fields(form)}
    request = CreateExportRequest(spec=ParseDict(fields, ExportSpec()))
    return export_view((await clients.registry.CreateExport(request)).export)


async def start_publication(
    clients: Clients, model_version_id: str, destination: str, *, secret: str, replace: bool
) -> ShippingView:
    """Start to publish a version at a place such as `hf:owner/name`.

    Raises:
        InvalidArgument: The text names no place.
    """
    place = destination_fields(destination, secret=secret, replace=replace)
    fields = {"model_version_id": model_version_id, "destination": place}
    request = CreatePublicationRequest(spec=ParseDict(fields, PublicationSpec()))
    return publication_view((await clients.registry.CreatePublication(request)).publication)

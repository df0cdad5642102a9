"""Starting, reading and cancelling exports and publications."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Literal, TypeAlias

from drillyard.registry.v1.export_pb2 import CancelExportRequest, CreateExportRequest, ExportSpec, ListExportsRequest
from drillyard.registry.v1.publication_pb2 import (
    CancelPublicationRequest,
    CreatePublicationRequest,
    ListPublicationsRequest,
    PublicationSpec,
)
from google.protobuf.json_format import ParseDict

from ui.gateway.clients import Clients
from ui.models.exports.destinations import destination_fields
from ui.models.exports.forms import form_fields
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


async def start_export(clients: Clients, model_version_id: str, form: str, name: str) -> ShippingView:
    """Start to export a version in a form such as `gguf:Q4_K_M`.

    Raises:
        InvalidArgument: The text is no form.
    """
    fields = {"model_version_id": model_version_id, "model_id": name, **form_fields(form)}
    request = CreateExportRequest(spec=ParseDict(fields, ExportSpec()))
    return export_view((await clients.registry.CreateExport(request)).export)


async def start_publication(
    clients: Clients, version: Mapping[str, str], destination: str, *, secret: str, replace: bool
) -> ShippingView:
    """Start to publish a version at a place such as `hf:owner/name`.

    Args:
        clients: The services.
        version: Fields of a PublicationSpec that say what is published.
        destination: The place.
        secret: Name of the secret with a token for it; empty for none.
        replace: Whether what has the name may be replaced.

    Raises:
        InvalidArgument: The text names no place.
    """
    place = destination_fields(destination, secret=secret, replace=replace)
    fields = {**version, "destination": place}
    request = CreatePublicationRequest(spec=ParseDict(fields, PublicationSpec()))
    return publication_view((await clients.registry.CreatePublication(request)).publication)


async def cancel_export(clients: Clients, export_id: str) -> ShippingView:
    """Cancel an export; nothing of it becomes visible."""
    return export_view((await clients.registry.CancelExport(CancelExportRequest(export_id=export_id))).export)


async def cancel_publication(clients: Clients, publication_id: str) -> ShippingView:
    """Cancel a publication; nothing of it becomes visible."""
    request = CancelPublicationRequest(publication_id=publication_id)
    return publication_view((await clients.registry.CancelPublication(request)).publication)

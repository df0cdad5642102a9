"""RPCs of the rows of datasets."""

from __future__ import annotations

from drillyard.registry.v1 import dataset_pb2

from services.chassis.calls import Context
from services.chassis.wire import to_message
from services.registry.domain.paging import page_request
from services.registry.servicer.dataset import dataset_version_to_proto
from services.registry.usecases.dataset_rows import DatasetRowUseCases
from services.registry.usecases.row_index import StoredRow


class DatasetRowRpcs:
    """List, count and change."""

    dataset_rows: DatasetRowUseCases

    async def ListDatasetRows(
        self, request: dataset_pb2.ListDatasetRowsRequest, context: Context
    ) -> dataset_pb2.ListDatasetRowsResponse:
        """List the rows of a version in their order."""
        filters = {name: getattr(request, name) for name in ("split", "tool", "cause", "reason")}
        page = await self.dataset_rows.list_rows(
            request.dataset_version_id, filters, page_request(request.page_size, request.page_token)
        )
        return dataset_pb2.ListDatasetRowsResponse(
            dataset_rows=map(_row_to_proto, page.items), next_page_token=page.next_token
        )

    async def GetDatasetMix(
        self, request: dataset_pb2.GetDatasetMixRequest, context: Context
    ) -> dataset_pb2.GetDatasetMixResponse:
        """Say what a version is made of."""
        mix = await self.dataset_rows.mix(request.dataset_version_id)
        parts = [to_message(part, dataset_pb2.DatasetPart) for part in mix.parts]
        version = dataset_version_to_proto(mix.version)
        return dataset_pb2.GetDatasetMixResponse(dataset_version=version, parts=parts, num_pairs=mix.num_pairs)

    async def ReviseDatasetVersion(
        self, request: dataset_pb2.ReviseDatasetVersionRequest, context: Context
    ) -> dataset_pb2.ReviseDatasetVersionResponse:
        """Register a version that is another one with rows dropped or edited."""
        version = await self.dataset_rows.revise(
            request.request_id,
            request.dataset_version_id,
            dropped=request.dropped_example_ids,
            edited=request.edited_documents,
        )
        return dataset_pb2.ReviseDatasetVersionResponse(dataset_version=dataset_version_to_proto(version))


def _row_to_proto(stored: StoredRow) -> dataset_pb2.DatasetRow:
    return to_message(stored.row, dataset_pb2.DatasetRow, line=stored.line, document=stored.document)

"""The RPCs of feedback items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.feedback.v1 import agreement_pb2, feedback_file_pb2
from drillyard.feedback.v1 import feedback_item_pb2 as pb

from services.feedback.convert.items import (
    agreement_to_proto,
    filter_from_proto,
    item_spec_from_proto,
    item_to_proto,
    line_of,
    page_to_proto,
)
from services.feedback.usecases.items import ItemUseCases

_CHUNK_BYTES = 256 * 1024


class ItemRpcs:
    """Stores, shows, withdraws, imports and exports feedback items."""

    items: ItemUseCases

    async def CreateFeedbackItem(
        self, request: pb.CreateFeedbackItemRequest, context: Any
    ) -> pb.CreateFeedbackItemResponse:
        """Store what a person says of an answer."""
        item = await self.items.create(request.request_id, item_spec_from_proto(request.spec))
        return pb.CreateFeedbackItemResponse(feedback_item=item_to_proto(item))

    async def GetFeedbackItem(self, request: pb.GetFeedbackItemRequest, context: Any) -> pb.GetFeedbackItemResponse:
        """Return one item."""
        item = await self.items.get(request.feedback_item_id)
        return pb.GetFeedbackItemResponse(feedback_item=item_to_proto(item))

    async def ListFeedbackItems(
        self, request: pb.ListFeedbackItemsRequest, context: Any
    ) -> pb.ListFeedbackItemsResponse:
        """List items, newest first."""
        page = await self.items.page(
            filter_from_proto(request), page_size=request.page_size, page_token=request.page_token
        )
        return page_to_proto(page)

    async def WithdrawFeedbackItem(
        self, request: pb.WithdrawFeedbackItemRequest, context: Any
    ) -> pb.WithdrawFeedbackItemResponse:
        """Withdraw an item."""
        item = await self.items.withdraw(request.feedback_item_id, request.reason)
        return pb.WithdrawFeedbackItemResponse(feedback_item=item_to_proto(item))

    async def ExportFeedbackItems(
        self, request: feedback_file_pb2.ExportFeedbackItemsRequest, context: Any
    ) -> AsyncIterator[feedback_file_pb2.ExportFeedbackItemsResponse]:
        """Stream items as a file."""
        chunk = bytearray()
        async with aclosing(self.items.export_items(filter_from_proto(request))) as items:
            async for item in items:
                chunk += line_of(item)
                if len(chunk) >= _CHUNK_BYTES:
                    yield feedback_file_pb2.ExportFeedbackItemsResponse(chunk=bytes(chunk))
                    chunk.clear()
        yield feedback_file_pb2.ExportFeedbackItemsResponse(chunk=bytes(chunk))

    async def MeasureAgreement(
        self, request: agreement_pb2.MeasureAgreementRequest, context: Any
    ) -> agreement_pb2.MeasureAgreementResponse:
        """Say how far people and the judge agree."""
        agreement = await self.items.agreement(filter_from_proto(request))
        return agreement_pb2.MeasureAgreementResponse(agreement=agreement_to_proto(agreement))

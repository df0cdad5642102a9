"""RPCs of publications."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from drillyard.registry.v1 import publication_pb2

from services.chassis.jobs.convert import watch_response
from services.registry.convert.publication import publication_spec, publication_to_proto
from services.registry.servicer.context import Context
from services.registry.usecases.publication import PublicationUseCases


class PublicationRpcs:
    """Create, get, list, cancel and watch."""

    publications: PublicationUseCases

    async def CreatePublication(
        self, request: publication_pb2.CreatePublicationRequest, context: Context
    ) -> publication_pb2.CreatePublicationResponse:
        """Start a publication."""
        created = await self.publications.create(request.request_id, publication_spec(request.spec))
        return publication_pb2.CreatePublicationResponse(publication=publication_to_proto(created))

    async def GetPublication(
        self, request: publication_pb2.GetPublicationRequest, context: Context
    ) -> publication_pb2.GetPublicationResponse:
        """Return one publication."""
        publication = await self.publications.resource.get(request.publication_id)
        return publication_pb2.GetPublicationResponse(publication=publication_to_proto(publication))

    async def ListPublications(
        self, request: publication_pb2.ListPublicationsRequest, context: Context
    ) -> publication_pb2.ListPublicationsResponse:
        """List publications, newest first."""
        publications, token = await self.publications.resource.list(request.page_size, request.page_token)
        return publication_pb2.ListPublicationsResponse(
            publications=map(publication_to_proto, publications), next_page_token=token
        )

    async def CancelPublication(
        self, request: publication_pb2.CancelPublicationRequest, context: Context
    ) -> publication_pb2.CancelPublicationResponse:
        """Cancel a publication."""
        cancelled = await self.publications.resource.cancel(request.publication_id)
        return publication_pb2.CancelPublicationResponse(publication=publication_to_proto(cancelled))

    async def WatchPublication(
        self, request: publication_pb2.WatchPublicationRequest, context: Context
    ) -> AsyncIterator[publication_pb2.WatchPublicationResponse]:
        """Stream events until the final one."""
        async with aclosing(self.publications.resource.watch(request.publication_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(publication_pb2.WatchPublicationResponse, event)

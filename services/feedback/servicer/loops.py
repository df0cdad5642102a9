"""The RPCs of loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.feedback.v1 import feedback_service_pb2_grpc
from drillyard.feedback.v1 import loop_pb2 as pb

from services.chassis.jobs import JobResource
from services.chassis.jobs.convert import watch_response
from services.feedback.convert.loops import loop_to_proto, spec_from_proto
from services.feedback.domain.loop import Loop
from services.feedback.usecases.jobs import FeedbackUseCases


class LoopMethods(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Starts, shows, follows, cancels and deletes loops."""

    _usecases: FeedbackUseCases
    _loops: JobResource[Loop]

    async def CreateLoop(self, request: pb.CreateLoopRequest, context: Any) -> pb.CreateLoopResponse:
        """Start a loop."""
        loop = await self._usecases.create_loop(request.request_id, spec_from_proto(request.spec))
        return pb.CreateLoopResponse(loop=loop_to_proto(loop))

    async def GetLoop(self, request: pb.GetLoopRequest, context: Any) -> pb.GetLoopResponse:
        """Return one loop."""
        return pb.GetLoopResponse(loop=loop_to_proto(await self._loops.get(request.loop_id)))

    async def ListLoops(self, request: pb.ListLoopsRequest, context: Any) -> pb.ListLoopsResponse:
        """List loops, newest first."""
        loops, next_page_token = await self._loops.list(request.page_size, request.page_token)
        return pb.ListLoopsResponse(loops=[loop_to_proto(loop) for loop in loops], next_page_token=next_page_token)

    async def DeleteLoop(self, request: pb.DeleteLoopRequest, context: Any) -> pb.DeleteLoopResponse:
        """Delete a loop with its history."""
        await self._loops.delete(request.loop_id)
        return pb.DeleteLoopResponse()

    async def CancelLoop(self, request: pb.CancelLoopRequest, context: Any) -> pb.CancelLoopResponse:
        """Cancel a loop and the job it waits for."""
        return pb.CancelLoopResponse(loop=loop_to_proto(await self._loops.cancel(request.loop_id)))

    async def WatchLoop(self, request: pb.WatchLoopRequest, context: Any) -> AsyncIterator[pb.WatchLoopResponse]:
        """Stream the events of a loop."""
        async with aclosing(self._loops.watch(request.loop_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(pb.WatchLoopResponse, event)

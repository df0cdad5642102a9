"""The RPCs of dataset builds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from drillyard.feedback.v1 import dataset_build_pb2 as pb
from drillyard.feedback.v1 import feedback_service_pb2_grpc

from services.chassis.jobs import JobResource
from services.chassis.jobs.convert import watch_response
from services.feedback.convert.dataset_builds import build_spec_from_proto, build_to_proto
from services.feedback.domain.dataset_build import DatasetBuild
from services.feedback.usecases.dataset_builds import BuildUseCases


class DatasetBuildMethods(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Starts, shows, follows and cancels dataset builds."""

    _build_usecases: BuildUseCases
    _builds: JobResource[DatasetBuild]

    async def CreateDatasetBuild(
        self, request: pb.CreateDatasetBuildRequest, context: Any
    ) -> pb.CreateDatasetBuildResponse:
        """Start a dataset build."""
        build = await self._build_usecases.create(request.request_id, build_spec_from_proto(request.spec))
        return pb.CreateDatasetBuildResponse(dataset_build=build_to_proto(build))

    async def GetDatasetBuild(self, request: pb.GetDatasetBuildRequest, context: Any) -> pb.GetDatasetBuildResponse:
        """Return one dataset build."""
        build = await self._builds.get(request.dataset_build_id)
        return pb.GetDatasetBuildResponse(dataset_build=build_to_proto(build))

    async def ListDatasetBuilds(
        self, request: pb.ListDatasetBuildsRequest, context: Any
    ) -> pb.ListDatasetBuildsResponse:
        """List dataset builds, newest first."""
        builds, token = await self._builds.list(request.page_size, request.page_token)
        return pb.ListDatasetBuildsResponse(dataset_builds=map(build_to_proto, builds), next_page_token=token)

    async def CancelDatasetBuild(
        self, request: pb.CancelDatasetBuildRequest, context: Any
    ) -> pb.CancelDatasetBuildResponse:
        """Cancel a dataset build."""
        build = await self._builds.cancel(request.dataset_build_id)
        return pb.CancelDatasetBuildResponse(dataset_build=build_to_proto(build))

    async def WatchDatasetBuild(
        self, request: pb.WatchDatasetBuildRequest, context: Any
    ) -> AsyncIterator[pb.WatchDatasetBuildResponse]:
        """Stream the events of a dataset build."""
        async with aclosing(self._builds.watch(request.dataset_build_id, request.after_sequence)) as events:
            async for event in events:
                yield watch_response(pb.WatchDatasetBuildResponse, event)

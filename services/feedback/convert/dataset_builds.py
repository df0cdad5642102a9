"""What differs between the wire's words for dataset builds and the domain's; all else has equal names."""

from __future__ import annotations

from drillyard.feedback.v1 import dataset_build_pb2 as pb

from services.chassis.jobs.convert import job_to_proto
from services.chassis.wire import from_message, to_message
from services.feedback.domain.dataset_build import DatasetBuild, DatasetBuildSpec


def build_spec_from_proto(spec: pb.DatasetBuildSpec) -> DatasetBuildSpec:
    """Return the spec with its defaults."""
    return from_message(DatasetBuildSpec, spec)


def build_to_proto(build: DatasetBuild) -> pb.DatasetBuild:
    """Return the build."""
    return to_message(
        build.state,
        pb.DatasetBuild,
        dataset_build_id=build.dataset_build_id,
        spec=to_message(build.spec, pb.DatasetBuildSpec),
        job=job_to_proto(build.job),
    )

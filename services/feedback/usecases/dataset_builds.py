"""What callers may ask of dataset builds."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.wire.names import check_dataset_id
from services.feedback.domain.dataset_build import DatasetBuild, DatasetBuildSpec
from services.feedback.ports import Registry
from services.feedback.ports.items import BuildStore
from services.feedback.usecases.jobs import profile_of


class BuildUseCases:
    """Creates dataset builds."""

    def __init__(self, store: BuildStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def create(self, request_id: str, spec: DatasetBuildSpec) -> DatasetBuild:
        """Store a build and return it; the same request id returns the same build.

        Raises:
            InvalidArgument: No dataset can have that name.
            FailedPrecondition: The profile is unknown here.
            NotFound: The registry does not have a suite that is named as material.
            AlreadyExists: The request id was used with another spec.
        """
        check_dataset_id(spec.dataset_id, "spec.dataset_id")
        if spec.profile_id:
            profile_of(spec.profile_id)
        suites = [await self._registry.resolve_suite(name) for name in spec.material_test_suite_version_ids]
        material = tuple(suite.test_suite_version_id for suite in suites)
        return await self._store.create(request_id, replace(spec, material_test_suite_version_ids=material))

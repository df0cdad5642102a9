"""What callers may ask of dataset builds."""

from __future__ import annotations

from dataclasses import replace

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.feedback.domain.dataset_build import DatasetBuild, DatasetBuildSpec, Rollouts
from services.feedback.ports.neighbours import Registry, RolloutSource
from services.feedback.ports.stores import BuildStore
from services.feedback.usecases.jobs import profile_of


class BuildUseCases:
    """Creates dataset builds."""

    def __init__(self, store: BuildStore, registry: Registry, rollouts: RolloutSource) -> None:
        self._store = store
        self._registry = registry
        self._rollouts = rollouts

    async def create(self, request_id: str, spec: DatasetBuildSpec) -> DatasetBuild:
        """Store a build and return it; the same request id returns the same build.

        Raises:
            InvalidArgument: No dataset can have that name, or what is named makes no such rows.
            FailedPrecondition: The profile is unknown here, or an evaluation is not finished or asks each case once.
            NotFound: There is no such suite, dataset or evaluation.
            AlreadyExists: The request id was used with another spec.
        """
        spec.check()
        if spec.profile_id:
            profile_of(spec.profile_id)
        suites = [await self._registry.resolve_suite(name) for name in spec.material_test_suite_version_ids]
        material = tuple(suite.test_suite_version_id for suite in suites)
        chat = spec.chat_dataset_version_id and await self._registry.resolve_dataset(spec.chat_dataset_version_id)
        for evaluation_id in spec.evaluation_ids:
            _check_rollouts(await self._rollouts.rollouts(evaluation_id), spec.profile_id)
        resolved = replace(spec, material_test_suite_version_ids=material, chat_dataset_version_id=chat)
        return await self._store.create(request_id, resolved)


def _check_rollouts(rollouts: Rollouts, profile_id: str) -> None:
    if rollouts.profile_id != profile_id:
        raise InvalidArgument(
            f"The evaluation {rollouts.evaluation_id} is of the protocol {rollouts.profile_id!a}, not {profile_id!a}.",
            "Name the protocol of its suite, and evaluations of that one alone.",
            field="spec.evaluation_ids",
        )
    if not rollouts.is_finished or rollouts.num_repeats < 2:
        problem = "is not finished" if not rollouts.is_finished else "is of a run that asks each case once"
        raise FailedPrecondition(
            f"The evaluation {rollouts.evaluation_id} {problem}.",
            "Name a finished evaluation of a run with several repeats at a temperature above 0.",
            field="spec.evaluation_ids",
        )

"""What callers may ask of feedback, in the service's own words."""

from __future__ import annotations

from services.chassis.errors import FailedPrecondition
from services.feedback.domain.loop import Inputs, Loop
from services.feedback.domain.spec import LoopSpec, check, with_prompt_size
from services.feedback.ports import LoopStore, Registry
from services.protocols.profile import Profile, UnknownProfile, get_profile


class FeedbackUseCases:
    """Creates loops."""

    def __init__(self, store: LoopStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def create_loop(self, request_id: str, spec: LoopSpec) -> Loop:
        """Store a loop and return it; the same request id returns the same loop.

        Raises:
            InvalidArgument: The goals or the prompt size are wrong.
            NotFound: The registry does not have the model or the suite.
            FailedPrecondition: The suite's profile is unknown here, or has nothing to train on.
            AlreadyExists: The request id was used with another spec.
        """
        check(spec)
        earlier = await self._store.find(request_id)
        inputs = earlier.inputs if earlier else await self._resolve(spec)
        profile = _profile_of(inputs.suite.profile_id)
        return await self._store.create(request_id, with_prompt_size(spec, profile.prompt_sizes), inputs)

    async def _resolve(self, spec: LoopSpec) -> Inputs:
        model_version_id = await self._registry.resolve_model(spec.model_version_id)
        return Inputs(model_version_id, await self._registry.resolve_suite(spec.test_suite_version_id))


def _profile_of(profile_id: str) -> Profile:
    try:
        profile = get_profile(profile_id)
    except UnknownProfile as error:
        raise FailedPrecondition(
            f"This release cannot drill the suite's protocol: {error}.", "Use a release that has that profile."
        ) from error
    if not profile.categories:
        raise FailedPrecondition(
            f"The profile {profile_id} has no training material, so a loop has nothing to teach.",
            "Test with it alone, train on a dataset of your own, or choose a suite of another protocol.",
            field="spec.test_suite_version_id",
        )
    return profile

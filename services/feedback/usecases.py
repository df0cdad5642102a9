"""What callers may ask of feedback, in the service's own words."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.chassis.errors import FailedPrecondition, Unimplemented
from services.chassis.jobs import JobEvent
from services.feedback.domain.loop import Inputs, Loop
from services.feedback.domain.spec import LoopSpec, checked, with_prompt_size
from services.feedback.ports import LoopStore, Registry
from services.protocols.profile import Profile, UnknownProfile, get_profile


class FeedbackUseCases:
    """Creates, shows and cancels loops; one method per RPC."""

    def __init__(self, store: LoopStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def create_loop(self, request_id: str, spec: LoopSpec) -> Loop:
        """Store a loop and return it; the same request id returns the same loop.

        Raises:
            InvalidArgument: A field of the spec is wrong.
            NotFound: The registry does not have the model or the suite.
            FailedPrecondition: The suite's profile is unknown here, or has nothing to train on.
            AlreadyExists: The request id was used with another spec.
        """
        asked = checked(spec)
        known = await self._store.find(request_id)
        inputs = known.inputs if known else await self._resolve(asked)
        profile = _profile_of(inputs.suite.profile_id)
        return await self._store.create(request_id, with_prompt_size(asked, profile.prompt_sizes), inputs)

    async def get_loop(self, loop_id: str) -> Loop:
        """Return a loop.

        Raises:
            NotFound: There is none.
        """
        return await self._store.get(loop_id)

    async def list_loops(self, page_size: int, page_token: str) -> tuple[list[Loop], str]:
        """Return loops, newest first, and the token of the next page."""
        return await self._store.list(page_size, page_token)

    async def cancel_loop(self, loop_id: str) -> Loop:
        """Cancel a loop and the work it waits for; what is registered is kept.

        Raises:
            NotFound: There is none.
            FailedPrecondition: It has ended.
        """
        return await self._store.request_cancel(loop_id)

    def watch_loop(self, loop_id: str, after_sequence: int) -> AsyncGenerator[JobEvent, None]:
        """Yield the events of a loop after a sequence until the final one.

        Raises:
            NotFound: There is no such loop.
        """
        return self._store.watch(loop_id, after_sequence)

    async def create_feedback_item(self) -> None:
        """Refuse: human judgements are not kept yet.

        Raises:
            Unimplemented: Always.
        """
        raise _no_items()

    async def list_feedback_items(self) -> None:
        """Refuse: human judgements are not kept yet.

        Raises:
            Unimplemented: Always.
        """
        raise _no_items()

    async def _resolve(self, asked: LoopSpec) -> Inputs:
        model_version_id = await self._registry.resolve_model(asked.model_version_id)
        return Inputs(model_version_id, await self._registry.resolve_suite(asked.test_suite_version_id))


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


def _no_items() -> Unimplemented:
    return Unimplemented(
        "Feedback items are not built in this version.", "Start a loop: it learns from the verdicts of the evaluator."
    )

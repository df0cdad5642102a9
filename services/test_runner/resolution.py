"""Turns the ids of a spec into the versions, digests and places that a run uses for good."""

from __future__ import annotations

from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.test_runner.domain import RunInputs, TestRunSpec
from services.test_runner.ports import Registry


async def resolve_inputs(registry: Registry, spec: TestRunSpec, *, window_size: int) -> RunInputs:
    """Ask the registry once and return what a run of `spec` reads.

    Raises:
        NotFound: The model version or the suite version does not exist.
        FailedPrecondition: The model cannot generate, or the suite is empty or of an unknown profile.
        InvalidArgument: The profile has no prompt of that size.
    """
    model = await registry.resolve_model(spec.model_version_id)
    suite = await registry.resolve_suite(spec.test_suite_version_id)
    profile = profile_of(suite.profile_id)
    if spec.prompt_size not in profile.prompt_sizes:
        raise InvalidArgument(
            f"The profile {profile.id} has no prompt of size {spec.prompt_size[:50]!r}.",
            f"Use one of: {', '.join(profile.prompt_sizes)}.",
            field="spec.prompt_size",
        )
    if suite.num_cases < 1:
        raise FailedPrecondition(
            f"The suite {suite.test_suite_version_id} has no cases.", "Register a version with cases."
        )
    return RunInputs(
        model_version_id=model.model_version_id,
        test_suite_version_id=suite.test_suite_version_id,
        base=model.base,
        adapter=model.adapter,
        test_suite_digest=suite.digest,
        profile_id=profile.id,
        profile_digest=profile.digest,
        num_cases=suite.num_cases,
        window_size=window_size,
    )


def profile_of(profile_id: str) -> Profile:
    """Return a profile that this release knows.

    Raises:
        FailedPrecondition: It does not know it.
    """
    try:
        return get_profile(profile_id)
    except UnknownProfile as error:
        raise FailedPrecondition(
            f"The suite is written for a protocol that this release does not have: {error}.",
            "Use a suite of a known profile, or a release that has this one.",
        ) from error

"""Turns the ids of a spec into the versions, digests and places that a run uses for good."""

from collections.abc import Sequence
from dataclasses import replace

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from services.protocols import turn as protocol
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.test_runner.domain.test_run import Form, RunInputs, RunRecord, TestRunSpec
from services.test_runner.domain.transcript import ToolCall
from services.test_runner.ports.registry import Registry


async def resolve_inputs(
    registry: Registry, spec: TestRunSpec, *, window_size: int, repeated: RunRecord | None = None
) -> RunInputs:
    """Ask the registry once and return what a run of `spec` reads.

    With `repeated`, the run that this one repeats, its plan is taken over: windows and threads.

    Raises:
        NotFound: The model version or the suite version does not exist.
        FailedPrecondition: The model cannot generate, the suite is empty or of an unknown profile, or what the
            repeated run read is not there any more.
        InvalidArgument: The profile has no prompt of that size.
    """
    try:
        inputs = await _resolve(registry, spec, window_size)
    except NotFound as error:
        if repeated is None:
            raise
        raise _gone(repeated, error.problem) from error
    if repeated is None:
        return inputs
    _check_same(inputs, repeated)
    if spec.keep_answers and inputs.profile_digest != repeated.inputs.profile_digest:
        raise FailedPrecondition(
            f"This release writes other prompts than those that {repeated.test_run_id} answered.",
            "Start a run of all cases.",
            field="spec.keep_answers",
        )
    return replace(inputs, window_size=repeated.inputs.window_size, num_threads=repeated.environment.num_threads)


def new_record(test_run_id: str, spec: TestRunSpec, inputs: RunInputs, repeated: RunRecord | None) -> RunRecord:
    """Return what is stored of a new run; one that keeps answers goes on with what generated them."""
    if spec.keep_answers and repeated is not None:
        return RunRecord(test_run_id, inputs, repeated.environment)
    return RunRecord(test_run_id, inputs)


async def _resolve(registry: Registry, spec: TestRunSpec, window_size: int) -> RunInputs:
    model = await registry.resolve_model(spec.model_version_id) if spec.model_version_id else None
    suite = await registry.resolve_suite(spec.test_suite_version_id)
    profile = profile_of(suite.profile_id)
    check_prompt_size(profile, spec.prompt_size)
    if suite.num_cases < 1:
        raise FailedPrecondition(
            f"The suite {suite.test_suite_version_id} has no cases.", "Register a version with cases."
        )
    return RunInputs(
        model_version_id=model.model_version_id if model else "",
        test_suite_version_id=suite.test_suite_version_id,
        base=model.base if model else None,
        adapter=model.adapter if model else None,
        test_suite_digest=suite.digest,
        profile_id=profile.id,
        profile_digest=profile.digest,
        num_cases=suite.num_cases,
        window_size=window_size,
        form=model.form if model else Form.FOLDER,
        num_context_tokens=model.num_context_tokens if model else 0,
    )


def check_prompt_size(profile: Profile, prompt_size: str, field: str = "spec.prompt_size") -> None:
    """Return when the profile has prompts of that size.

    Raises:
        InvalidArgument: It has none; the error names the field.
    """
    if prompt_size not in profile.prompt_sizes:
        raise InvalidArgument(
            f"The profile {profile.id} has no prompt of size {prompt_size[:50]!r}.",
            f"Use one of: {', '.join(profile.prompt_sizes)}.",
            field=field,
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


def _check_same(inputs: RunInputs, repeated: RunRecord) -> None:
    before = repeated.inputs
    is_same_suite = inputs.test_suite_version_id == before.test_suite_version_id
    if is_same_suite and inputs.test_suite_digest != before.test_suite_digest:
        raise _gone(repeated, f"The suite {before.test_suite_version_id} has other bytes now.")
    weights = [(version.base, version.adapter) for version in (inputs, before)]
    digests = [tuple(item.digest if item else "" for item in pair) for pair in weights]
    if inputs.model_version_id == before.model_version_id and digests[0] != digests[1]:
        raise _gone(repeated, f"The model version {before.model_version_id} has other bytes now.")


def _gone(repeated: RunRecord, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"What the run {repeated.test_run_id} read is not there any more: {problem}",
        "Register it again, or start a run that repeats none.",
        field="spec.repeat_of_test_run_id",
    )


def protocol_answer(profile: Profile, text: str, calls: Sequence[ToolCall], *, is_cut: bool = False) -> protocol.Answer:
    """Return what a model gave as the profile's client reads it: native calls, or else those that the text holds."""
    reason: protocol.FinishReason = "length" if is_cut else "stop"
    if not calls:
        return profile.read_answer(text, reason)
    # Servers draw the ids of calls; the client numbers them, so that two runs can say the same.
    return protocol.Answer(text, tuple(protocol.ToolCall(call.name, call.arguments) for call in calls), reason)

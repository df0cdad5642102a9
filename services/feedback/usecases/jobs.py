"""What callers may ask of feedback's durable jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.chassis.errors import Aborted, FailedPrecondition, InvalidArgument
from services.feedback.decisions.answers import check_change
from services.feedback.decisions.decision import DecisionChange
from services.feedback.domain.goals import Goal
from services.feedback.domain.guardrails import Guardrail
from services.feedback.domain.loop import Inputs, Loop
from services.feedback.domain.shipment import Shipment, ShipmentSpec
from services.feedback.domain.spec import LoopSpec, as_first_sent, check, check_slices, prompt_size_of
from services.feedback.domain.work import SuiteVersion
from services.feedback.ports.neighbours import Registry
from services.feedback.ports.stores import LoopStore, ShipmentStore
from services.protocols.profile import Profile, UnknownProfile, get_profile
from services.protocols.suites.balance import category_of


class FeedbackUseCases:
    """Creates loops and shipments."""

    def __init__(self, store: LoopStore, registry: Registry, shipments: ShipmentStore) -> None:
        self._store = store
        self._registry = registry
        self._shipments = shipments

    async def create_loop(self, request_id: str, spec: LoopSpec) -> Loop:
        """Store a loop and return it; the same request id returns the same loop.

        Raises:
            InvalidArgument: The goals or the prompt size are wrong.
            NotFound: The registry does not have the model or the suite.
            FailedPrecondition: The suite's profile is unknown here, or has nothing to train on.
            AlreadyExists: The request id was used with another spec.
        """
        earlier = await self._store.find(request_id)
        spec, inputs = await self.prepared_loop(spec, earlier)
        return await self._store.create(request_id, spec, inputs)

    async def prepared_loop(self, spec: LoopSpec, earlier: Loop | None = None) -> tuple[LoopSpec, Inputs]:
        """Return a spec with what follows from its suites, and what its ids name; `earlier` is the same request's loop.

        Raises:
            ServiceError: As `create_loop`.
        """
        spec = as_first_sent(spec, earlier.asked) if earlier else spec
        check(spec)
        inputs = earlier.inputs if earlier else await self._resolve_loop(spec)
        profile = profile_of(inputs.suite.profile_id)
        if not profile.categories:
            raise FailedPrecondition(
                f"The profile {profile.id} has no training material, so a loop has nothing to teach.",
                "Test with it alone, train on a dataset of your own, or choose a suite of another protocol.",
                field="spec.test_suite_version_id",
            )
        spec = replace(
            spec,
            prompt_size=prompt_size_of(spec.prompt_size, profile.prompt_sizes),
            guardrails=_with_prompt_sizes(spec.guardrails, inputs),
        )
        if not earlier:
            await self.check_goals(spec.goals, inputs.suite)
        return spec, inputs

    async def check_goals(self, goals: Sequence[Goal], suite: SuiteVersion) -> None:
        """Return when a version can meet goals on a suite.

        Raises:
            InvalidArgument: The suite lacks a slice, or has too few cases of it.
        """
        check_slices(goals, await _suite_slices(self._registry, goals, suite))

    async def decide_loop(self, loop_id: str, number: int, change: DecisionChange) -> Loop:
        """Approve or change the decision that a loop waits with, and return the loop.

        Raises:
            NotFound: There is no such loop.
            FailedPrecondition: It waits for nobody, or was answered in another way.
            Aborted: It waits with another decision than that one.
            InvalidArgument: The decision cannot be changed so.
        """
        loop = await self._store.get(loop_id)
        waiting = loop.waiting_decision
        next_step = f"Look at what it does now: `drillyard loops show {loop_id}`."
        if waiting is None:
            raise FailedPrecondition(f"The loop {loop_id} does not wait for a person.", next_step)
        if number not in (0, waiting.number):
            raise Aborted(
                f"The answer is to decision {number}, and {loop_id} waits with decision {waiting.number} now.",
                next_step,
            )
        check_change(waiting, change)
        if await self._store.answers.give(loop_id, waiting.number, change) != change:
            raise FailedPrecondition(
                f"The decision {waiting.number} was answered before, in another way.",
                "The first answer counts; wait for the next decision.",
            )
        return loop

    async def create_shipment(self, request_id: str, spec: ShipmentSpec) -> Shipment:
        """Store a shipment and return it; the same request id returns the same shipment.

        Raises:
            InvalidArgument: It names no form, a destination names no place, or the prompt size is wrong.
            NotFound: The registry does not have the model or the suite.
            FailedPrecondition: The suite's profile is unknown here.
            AlreadyExists: The request id was used with another spec.
        """
        _check_places(spec)
        _check_endpoint(spec)
        earlier = await self._shipments.find(request_id)
        inputs = earlier.inputs if earlier else await self._resolve(spec)
        profile = profile_of(inputs.suite.profile_id)
        spec = replace(spec, prompt_size=prompt_size_of(spec.prompt_size, profile.prompt_sizes))
        return await self._shipments.create(request_id, spec, inputs)

    async def _resolve_loop(self, spec: LoopSpec) -> Inputs:
        inputs = await self._resolve(spec)
        suites = []
        for place, guardrail in enumerate(spec.guardrails):
            suite = await self._registry.resolve_suite(guardrail.test_suite_version_id)
            if suite.test_suite_version_id == inputs.suite.test_suite_version_id:
                raise InvalidArgument(
                    f"The guardrail on {suite.test_suite_version_id} is on the suite that the goals are on.",
                    "Set a goal on it, or guard another suite.",
                    field=f"spec.guardrails[{place}].test_suite_version_id",
                )
            suites.append(suite)
        return replace(inputs, guardrail_suites=tuple(suites))

    async def _resolve(self, spec: LoopSpec | ShipmentSpec) -> Inputs:
        model_version_id = await self._registry.resolve_model(spec.model_version_id)
        return Inputs(model_version_id, await self._registry.resolve_suite(spec.test_suite_version_id))


async def _suite_slices(registry: Registry, goals: Sequence[Goal], suite: SuiteVersion) -> Mapping[str, int]:
    """Return how many cases each slice of a suite has; of all cases alone where no goal names another one."""
    slices = Counter({"": suite.num_cases})
    if any(goal.slice.startswith(("tool=", "category=")) for goal in goals):
        for case in await registry.list_cases(suite.test_suite_version_id):
            slices.update((f"tool={case.tool}", f"category={category_of(case)}"))
    return slices


def _with_prompt_sizes(guardrails: Sequence[Guardrail], inputs: Inputs) -> tuple[Guardrail, ...]:
    """Return the guardrails, each with a prompt size that its suite's profile has.

    Raises:
        InvalidArgument: A size is asked for that the profile lacks.
        FailedPrecondition: The profile is unknown here.
    """
    sizes = [profile_of(suite.profile_id).prompt_sizes for suite in inputs.guardrail_suites]
    return tuple(
        replace(item, prompt_size=prompt_size_of(item.prompt_size, known, f"guardrails[{place}].prompt_size"))
        for place, (item, known) in enumerate(zip(guardrails, sizes, strict=True))
    )


def _check_endpoint(spec: ShipmentSpec) -> None:
    for name, what in (("base_url", "address"), ("model", "name of the model there")):
        if spec.endpoint is not None and not spec.endpoint.get(name):
            raise InvalidArgument(
                f"The endpoint at which the form is served has no {what}.",
                "Give both, or leave the endpoint out to have the form served here.",
                field=f"spec.endpoint.{name}",
            )


def _check_places(spec: ShipmentSpec) -> None:
    if not spec.export.get("form"):
        raise InvalidArgument(
            "The shipment names no form.", "Name one, such as EXPORT_FORM_GGUF.", field="spec.export.form"
        )
    for place, destination in enumerate(spec.destinations):
        if not destination.keys() - {"address", "secret", "replace"}:
            raise InvalidArgument(
                f"The destination {place} names no place.",
                "Name a folder, an Ollama, a registry or a hub.",
                field=f"spec.destinations[{place}]",
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
            f"This release cannot drill the suite's protocol: {error}.", "Use a release that has that profile."
        ) from error

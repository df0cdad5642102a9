"""A loop: the job that does it, what it was asked, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.chassis.jobs import Job, JobState
from services.chassis.wire import from_document
from services.feedback.decisions.decision import Decision, DecisionState
from services.feedback.domain.goals import Goal, Reading
from services.feedback.domain.guardrails import guardrail_sentence
from services.feedback.domain.rounds import Round, Stop, StopReason, round_from_document, round_to_document
from services.feedback.domain.rules import best_round, readings_in, spent_by
from services.feedback.domain.spec import LoopSpec
from services.feedback.domain.spending import Spent
from services.feedback.domain.work import SuiteVersion

LOOP_KIND = "loop"
_CANCELLED = Stop(
    StopReason.CANCELLED,
    "Cancelled on request; every version that was registered is kept.",
    "Start another loop from the best version to go on.",
)


@dataclass(frozen=True)
class Inputs:
    """What the ids of a spec named when the loop was created; of each guardrail the suite, in their order."""

    model_version_id: str
    suite: SuiteVersion
    guardrail_suites: tuple[SuiteVersion, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """Return the JSON form in which a job's spec keeps them; what a release before did not know is left out."""
        document = {"model_version_id": self.model_version_id, **_suite_document(self.suite)}
        suites = [_suite_document(suite) for suite in self.guardrail_suites]
        return {**document, "guardrail_suites": suites} if suites else document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Inputs:
        """Return the inputs that `to_document` wrote."""
        suites = tuple(_suite_of(suite) for suite in document.get("guardrail_suites", ()))
        return cls(document["model_version_id"], _suite_of(document), suites)


@dataclass(frozen=True)
class Loop:
    """A durable job that improves a model version.

    Attributes:
        job: Its state, progress and error.
        asked: The spec as it was sent, defaults filled in.
        inputs: The versions that its ids named.
        rounds: Oldest first.
        stop: Why it ended; None while it goes on, or when it failed.
        seconds: For how long it has worked.
    """

    job: Job
    asked: LoopSpec
    inputs: Inputs
    rounds: tuple[Round, ...]
    stop: Stop | None
    seconds: float = 0.0

    @property
    def loop_id(self) -> str:
        """The id of the loop and of its job."""
        return self.job.job_id

    @property
    def waiting_decision(self) -> Decision | None:
        """The decision that it waits with for a person; None where it waits for none."""
        last = self.rounds[-1].decisions[-1] if self.rounds and self.rounds[-1].decisions else None
        is_waiting = last is not None and last.state is DecisionState.WAITING and not self.job.state.is_final
        return last if is_waiting else None

    @property
    def best_model_version_id(self) -> str:
        """The best version so far; empty before the first evaluation."""
        best = best_round(self.asked.goals, self.rounds)
        return best.model_version_id if best else ""

    @property
    def spent(self) -> Spent:
        """What it has cost so far."""
        return spent_by(self.asked, self.rounds, self.seconds)

    @property
    def status_sentence(self) -> str:
        """What is met, what is not, and what it cost so far."""
        return status_sentence(self.asked, self.rounds, self.seconds)


def job_state(rounds: Sequence[Round], seconds: float = 0.0) -> dict[str, Any]:
    """Return what is stored as the job's checkpoint: its rounds, and for how long it has worked."""
    return {"rounds": [round_to_document(made) for made in rounds], "seconds": seconds}


def job_result(stop: Stop) -> dict[str, Any]:
    """Return what is stored as the job's result."""
    return {"stop_reason": str(stop.reason), "stop_sentence": stop.sentence, "next_step": stop.next_step}


def loop_of(job: Job) -> Loop:
    """Return the loop that a job of kind `LOOP_KIND` is."""
    return Loop(
        job=job,
        asked=from_document(LoopSpec, job.spec["spec"]),
        inputs=Inputs.from_document(job.spec["inputs"]),
        rounds=rounds_of(job.saved),
        stop=_stop_of(job),
        seconds=float((job.saved or {}).get("seconds", 0.0)),
    )


def rounds_of(saved: Mapping[str, Any] | None) -> tuple[Round, ...]:
    """Return the rounds that `job_state` wrote; none before the first."""
    return tuple(round_from_document(document) for document in (saved or {}).get("rounds", ()))


def status_sentence(spec: LoopSpec, rounds: Sequence[Round], elapsed_seconds: float) -> str:
    """Return how the best version so far stands to goals and guardrails, and the cost."""
    cost = spent_by(spec, rounds, elapsed_seconds).sentence
    best = best_round(spec.goals, rounds)
    if best is None:
        goals = ", ".join(f"{goal.words} {goal.text(goal.bound)}" for goal in spec.goals)
        return f"Nothing is measured yet; the goal is {goals}; {cost}."
    readings = readings_in(spec.goals, best)
    results = [_standing(goal, reading) for goal, reading in zip(spec.goals, readings, strict=True)]
    kept = [guardrail_sentence(*pair) for pair in zip(spec.guardrails, best.guardrails, strict=False)]
    rolled_back = [f"round {item.number} is rolled back" for item in rounds if item.is_rolled_back]
    words = "; ".join([*results, *kept, *rolled_back, cost])
    return f"{best.model_version_id} of round {best.number} is the best so far: {words}."


def _suite_document(suite: SuiteVersion) -> dict[str, Any]:
    return {"test_suite_version_id": suite.test_suite_version_id, "profile_id": suite.profile_id}


def _suite_of(document: Mapping[str, Any]) -> SuiteVersion:
    return SuiteVersion(document["test_suite_version_id"], document["profile_id"])


def _stop_of(job: Job) -> Stop | None:
    if job.state is JobState.CANCELLED:
        return _CANCELLED
    if job.result is None:
        return None
    result = job.result
    return Stop(StopReason(result["stop_reason"]), result["stop_sentence"], result.get("next_step", ""))


def _standing(goal: Goal, reading: Reading) -> str:
    if goal.is_met(reading):
        return f"met: {goal.sentence(reading)}"
    missing = goal.shortfall(reading)
    amount = f"{100 * missing:.1f} points" if goal.facts.is_share else goal.text(missing)
    return f"missed by {amount}: {goal.sentence(reading)}"

"""What the end of a loop means to a person, the same on the page, in commands and in reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How a loop stands: `state` in words, and `tone` as its colour."""

    state: str
    tone: str


def outcome_of(stop_reason: str, job_state: str, job_tone: str = "") -> Outcome:
    """Return the outcome of a loop; one that is going, was cancelled or failed is told by its job.

    Args:
        stop_reason: Name of the wire's value in small letters, such as "out_of_rounds"; empty while it goes on.
        job_state: State of its job in small letters.
        job_tone: Tone of that state.
    """
    if job_state != "succeeded":
        return Outcome(job_state, job_tone)
    return Outcome("goal reached", "good") if stop_reason == "goals_met" else Outcome("goal not reached", "warn")

"""What the end of a loop means to a person, the same on the page, in commands and in reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """How a loop stands: `state` in words, `tone` as its colour, and what to try next."""

    state: str
    tone: str
    next_step: str = ""


_REACHED = Outcome("goal reached", "good")
_NEXT_STEPS = {
    "out_of_rounds": "Start another loop from the best version, with more rounds or more examples.",
    "out_of_time": "Start another loop from the best version, with more minutes.",
    "no_progress": "Read on the page Test runs what still fails, then start a loop with more examples or another seed.",
}


def outcome_of(stop_reason: str, job_state: str, job_tone: str) -> Outcome:
    """Return the outcome of a loop; one that is going, was cancelled or failed is told by its job.

    Args:
        stop_reason: Name of the wire's value in small letters, such as "out_of_rounds"; empty while it goes on.
        job_state: State of its job in small letters.
        job_tone: Tone of that state.
    """
    if job_state != "succeeded":
        return Outcome(job_state, job_tone)
    if stop_reason == "goals_met":
        return _REACHED
    return Outcome("goal not reached", "warn", _NEXT_STEPS.get(stop_reason, ""))

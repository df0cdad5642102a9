"""What an improvement must not cost: shares on other suites, each version against the first, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.feedback.domain.goals import USUAL_CONFIDENCE, percent, widened


@dataclass(frozen=True)
class Guardrail:
    """A share of another suite that may fall by `max_loss` at most.

    Attributes:
        test_suite_version_id: The other suite.
        metric: A name of `goals.RATES`.
        max_loss: A share, 0 to 1; None, which only a request has, is the contract's default.
        confidence: Of the interval that must lie beyond `max_loss`; 0 for the difference itself.
        prompt_size: One that the suite's profile has.
    """

    test_suite_version_id: str
    metric: str
    max_loss: float | None
    confidence: float
    prompt_size: str

    @property
    def words(self) -> str:
        """What is guarded, such as "conforming rate on text/smoke@1"."""
        return f"{self.metric.replace('_', ' ')} on {self.test_suite_version_id}"


@dataclass(frozen=True)
class Change:
    """How much a share rose on the same cases: after minus before, and its 95 % interval."""

    mean: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class GuardrailReading:
    """What a round kept; ids are empty until their work has begun, figures are meaningful when `is_measured`."""

    test_run_id: str = ""
    evaluation_id: str = ""
    is_measured: bool = False
    value: float = 0.0
    change: float = 0.0
    low: float = 0.0
    high: float = 0.0
    is_broken: bool = False


def measured(guardrail: Guardrail, ids: GuardrailReading, value: float, change: Change) -> GuardrailReading:
    """Return the reading of a version: how much it lost, and whether that is more than is allowed."""
    low, high = widened(change.mean, change.low, change.high, guardrail.confidence or USUAL_CONFIDENCE)
    least_loss = -high if guardrail.confidence else -change.mean
    # Shares are quotients of small numbers: what is lost to rounding is no loss.
    is_broken = least_loss > (guardrail.max_loss or 0.0) + 1e-9
    return GuardrailReading(ids.test_run_id, ids.evaluation_id, True, value, change.mean, low, high, is_broken)


def guardrail_sentence(guardrail: Guardrail, reading: GuardrailReading) -> str:
    """Return what was kept against what may be lost, without a stop at the end."""
    if not reading.is_measured:
        return f"the {guardrail.words} is not measured yet"
    interval = (
        f"{100 * reading.low:+.1f} to {100 * reading.high:+.1f} at {percent(guardrail.confidence or USUAL_CONFIDENCE)}"
    )
    verdict = "broken" if reading.is_broken else "kept"
    return (
        f"the {guardrail.words} is {reading.value:.1%}, {100 * reading.change:+.1f} points "
        f"({interval} confidence, {100 * (guardrail.max_loss or 0.0):g} allowed: {verdict})"
    )


def broken(
    guardrails: Sequence[Guardrail], readings: Sequence[GuardrailReading]
) -> list[tuple[Guardrail, GuardrailReading]]:
    """Return the guardrails that a round broke, each with its reading."""
    return [pair for pair in zip(guardrails, readings, strict=False) if pair[1].is_broken]

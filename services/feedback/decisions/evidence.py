"""What a decision looks at, counted: verdicts on one answer to each case, and on several where they were drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.feedback.domain.work import ProbeVerdict
from services.protocols.verdict import FORM_LAYERS, NOT_THE_MODELS, Cause, Fault

FORM_CAUSES = frozenset(fault.cause for fault in Fault if fault.layer in FORM_LAYERS) - NOT_THE_MODELS
"""Causes that show a call of the wrong form, whatever the task; other failures are near misses."""


@dataclass(frozen=True)
class Evidence:
    """Counts of verdicts. What nobody could judge is in `num_unknown` alone and steers nothing.

    Attributes:
        num_failed: Answers that do not conform, by form or by contents.
        num_form_failures: Those of them whose call has the wrong form.
        num_template_faults: Answers whose prompt the template could not render; part of `num_unknown`.
    """

    num_answers: int
    num_unknown: int
    num_failed: int
    num_form_failures: int
    num_template_faults: int
    num_empty: int
    num_cut_off: int

    @property
    def num_near_misses(self) -> int:
        """Failures of the right form."""
        return self.num_failed - self.num_form_failures

    @property
    def form_share(self) -> float:
        """Share of the failures that are of form, 0 to 1; 0 where nothing fails."""
        return self.num_form_failures / self.num_failed if self.num_failed else 0.0

    @property
    def figures(self) -> dict[str, float]:
        """The counts by their names."""
        return {name: float(count) for name, count in vars(self).items()}


def evidence_of(verdicts: Sequence[ProbeVerdict]) -> Evidence:
    """Return the counts of one answer to each case."""
    judged = [verdict for verdict in verdicts if not verdict.is_unknown]
    return Evidence(
        num_answers=len(judged),
        num_unknown=len(verdicts) - len(judged),
        num_failed=sum(bool(verdict.cause) for verdict in judged),
        num_form_failures=sum(verdict.cause in FORM_CAUSES for verdict in judged),
        num_template_faults=sum(verdict.cause == Cause.TEMPLATE_FAULT for verdict in verdicts),
        num_empty=sum(verdict.fault == Fault.EMPTY_ANSWER for verdict in judged),
        num_cut_off=sum(verdict.cause == Cause.TRUNCATED_BY_LIMIT for verdict in judged),
    )


@dataclass(frozen=True)
class Rollouts:
    """Several answers to each case: how many cases have answers of both kinds, and the pairs that failures make."""

    num_prompts: int
    num_mixed: int
    num_all_right: int
    num_all_wrong: int
    num_pairs: int
    mixed_case_ids: frozenset[str] = frozenset()

    @property
    def mixed_share(self) -> float:
        """Share of the prompts whose answers differ, 0 to 1."""
        return self.num_mixed / self.num_prompts if self.num_prompts else 0.0

    @property
    def figures(self) -> dict[str, float]:
        """The counts by their names."""
        return {name: float(count) for name, count in vars(self).items() if isinstance(count, int)}


def rollouts_of(verdicts: Sequence[ProbeVerdict], num_pairs: int) -> Rollouts:
    """Return what several answers to each case show; cases with fewer than two judged answers say nothing."""
    outcomes: dict[str, list[bool]] = {}
    for verdict in verdicts:
        if not verdict.is_unknown:
            outcomes.setdefault(verdict.case_id, []).append(not verdict.cause)
    groups = {case_id: group for case_id, group in outcomes.items() if len(group) > 1}
    mixed = frozenset(case_id for case_id, group in groups.items() if any(group) and not all(group))
    num_right = sum(all(group) for group in groups.values())
    return Rollouts(len(groups), len(mixed), num_right, len(groups) - len(mixed) - num_right, num_pairs, mixed)

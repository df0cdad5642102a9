"""Rows of prompts whose rollouts differ: only where some answers are right and some wrong can a comparison teach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.feedback.datasets.examples import examples_of
from services.feedback.domain.dataset_build import LeftOut
from services.protocols.cases import Case, case_to_document
from services.protocols.profile import Profile
from services.protocols.suites.balance import category_of
from services.protocols.suites.dataset_row import DatasetRow

MIXED = "mixed_rollouts"


def rollout_row(
    profile: Profile, case: Case, causes: Sequence[str], *, prompt_size: str, row_id: str
) -> DatasetRow | LeftOut:
    """Return the row of a case by what became of its answers, or why it teaches nothing.

    Args:
        profile: The protocol.
        case: The case.
        causes: Why each answer fails, empty for one that conforms; those that the machine failed on are not among them.
        prompt_size: What the answers were asked with.
        row_id: The row's id.
    """
    failures = Counter(cause for cause in causes if cause)
    if not 0 < failures.total() < len(causes):
        return LeftOut.SAME_OUTCOME
    example = examples_of(profile, case, prompt_size)[0]
    return DatasetRow(
        row_id,
        example.messages,
        tools=example.tools,
        case=case_to_document(case),
        tool=case.tool,
        category=category_of(case),
        cause=failures.most_common(1)[0][0],
        profile_id=profile.id,
        reason=MIXED,
    )

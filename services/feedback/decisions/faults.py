"""Faults that no training mends: what renders prompts or reads answers is broken."""

from __future__ import annotations

from collections.abc import Sequence

from services.feedback.decisions.decision import Decision, DecisionAction, DecisionTopic
from services.feedback.decisions.evidence import Evidence
from services.feedback.domain.work import TemplateFault

# Tokens of an answer that ends as soon as it begins: its end, and one that is not seen.
_MOST_SILENT_TOKENS = 2
# A few answers that say nothing may be the model's doing; nearly all of them are not.
_NEARLY_ALL = 0.9


def on_template(model_version_id: str, profile_id: str, faults: Sequence[TemplateFault]) -> Decision | None:
    """Return the decision to stop when a template cannot carry the protocol; None when it can."""
    if not faults:
        return None
    more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
    return _stop(
        DecisionTopic.TEMPLATE,
        "template_fault",
        f"The template or the settings of {model_version_id} cannot carry {profile_id} ({faults[0].code}{more}): "
        f"{faults[0].problem} No training mends that, so none was begun.",
        f"{faults[0].fix} `drillyard doctor {model_version_id} --profile {profile_id}` shows all.",
        {f"fault.{fault.code}": 1.0 for fault in faults},
    )


def on_answers(
    model_version_id: str, evidence: Evidence, *, is_trained_here: bool, num_tokens: int | None
) -> Decision | None:
    """Return the decision to stop when the answers of a test show a fault that training cannot mend; None when not.

    Args:
        model_version_id: The version that was tested.
        evidence: Of the test.
        is_trained_here: Whether the loop has trained it: then it has been taught where an answer ends.
        num_tokens: What all answers came to, if that is known. A model that writes much and says nothing can be taught.
    """
    num_asked = evidence.num_answers + evidence.num_unknown
    is_silent = num_tokens is not None and num_tokens <= _MOST_SILENT_TOKENS * num_asked
    doctor = f"Look at an answer, and at what `drillyard doctor {model_version_id}` says"
    for count, rule, words, is_fault in (
        (evidence.num_template_faults, "template_fault", "could not be asked, since the template broke", True),
        (
            evidence.num_empty,
            "empty_answers",
            "have an empty answer, so the prompt or the stop token is wrong",
            is_silent,
        ),
        (evidence.num_cut_off, "cut_off_answers", "were cut off at the limit after training too", is_trained_here),
    ):
        if is_fault and num_asked and count >= _NEARLY_ALL * num_asked:
            limit = " Allow longer answers (max_new_tokens), or mend what marks the end." * (rule == "cut_off_answers")
            return _stop(
                DecisionTopic.ANSWERS,
                rule,
                f"{count} of {num_asked} cases of the test {words}: no training mends that.",
                f"{doctor}; then start another loop.{limit}",
                evidence.figures,
            )
    return None


def _stop(topic: DecisionTopic, rule: str, reason: str, next_step: str, figures: dict[str, float]) -> Decision:
    return Decision(topic, DecisionAction.STOP, rule, reason, next_step, figures)

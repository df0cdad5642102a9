"""Goals and guardrails as a person writes them, such as `conforming_rate[tool=apply_diff]>=0.5`."""

from __future__ import annotations

import re
from typing import Any

from drillyard.feedback.v1.loop_goal_pb2 import Goal, Guardrail

from services.chassis.errors import InvalidArgument

GOAL_HELP = (
    "METRIC[SLICE]>=BOUND@CONFIDENCE, or <= for what shall be small; slice and confidence may be left out, as in "
    "conforming_rate[tool=apply_diff]>=0.5."
)
GUARDRAIL_HELP = (
    "SUITE:METRIC:LOSS:CONFIDENCE, of which all but the suite may be left out, as in text/smoke:accepted_rate."
)
_GOAL = re.compile(
    r"\s*(?P<metric>\w+)\s*(?:\[(?P<slice>[^\]]*)\])?\s*(?P<sign>>=|<=|=)\s*(?P<bound>[\d.]+)\s*"
    r"(?:@\s*(?P<confidence>[\d.]+)\s*)?"
)
_UPPER_SIGN = "<="


def goal_fields(text: str) -> dict[str, Any]:
    """Return the fields of a Goal, in JSON, that a text such as `conforming_rate>=0.8@0.95` names.

    Raises:
        InvalidArgument: It names none.
    """
    match = _GOAL.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"{text[:80]!r} is not like conforming_rate=0.8.", f"Write {GOAL_HELP}", field="goals")
    fields: dict[str, Any] = {"metric": match["metric"]}
    fields["maximum" if match["sign"] == _UPPER_SIGN else "minimum"] = _number(match["bound"], text, "goals")
    if match["slice"] is not None:
        fields["slice"] = match["slice"].strip()
    if match["confidence"] is not None:
        fields["confidence"] = _number(match["confidence"], text, "goals")
    return fields


def goal_text(goal: Goal) -> str:
    """Return a goal in words, such as "conforming rate of tool=apply_diff ≥ 50 % at 95 % confidence"."""
    part = f" of {goal.slice}" if goal.slice else ""
    sure = f" at {100 * goal.confidence:.4g} % confidence" if goal.confidence else ""
    metric = goal.metric.replace("_", " ").replace(" hat ", "^")
    if goal.metric.startswith("seconds"):
        return f"{metric} ≤ {goal.maximum:g}"
    sign, bound = ("≤", goal.maximum) if goal.maximum else ("≥", goal.minimum)
    return f"{metric}{part} {sign} {100 * bound:g} %{sure}"


def guardrail_fields(text: str) -> dict[str, Any]:
    """Return the fields of a Guardrail, in JSON, that a text such as `text/smoke:conforming_rate:0.01` names.

    Raises:
        InvalidArgument: It has too many parts, or no number where one belongs.
    """
    suite, *parts = [part.strip() for part in text.split(":")]
    names = ("metric", "max_loss", "confidence")
    if not suite or len(parts) > len(names):
        fault = f"{text[:80]!r} is not like text/smoke:conforming_rate:0.01."
        raise InvalidArgument(fault, f"Write {GUARDRAIL_HELP}", field="guardrails")
    values = {
        name: part if name == "metric" else _number(part, text, "guardrails")
        for name, part in zip(names, parts, strict=False)
        if part
    }
    return {"test_suite_version_id": suite, **values}


def guardrail_text(guardrail: Guardrail) -> str:
    """Return a guardrail in words."""
    sure = f" at {100 * guardrail.confidence:.4g} % confidence" if guardrail.confidence else ""
    metric = guardrail.metric.replace("_", " ")
    return f"{metric} on {guardrail.test_suite_version_id} loses at most {100 * guardrail.max_loss:g} points{sure}"


def _number(text: str, whole: str, field: str) -> float:
    try:
        return float(text)
    except ValueError:
        fault = f"{text[:40]!r} in {whole[:80]!r} is no number."
        raise InvalidArgument(fault, "Write shares as 0.8, and losses as 0.01 for one point.", field=field) from None
